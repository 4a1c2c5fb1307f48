// The live connection to the server: newest position wins, one request in flight.

const RETRY_MS = [250, 500, 1000, 2000, 4000];
const STUCK_MS = 8000;

export class Connection {
  /**
   * @param {string} url  ws:// or wss:// address of the live route
   * @param {(message: object) => void} onMessage  called with every answer or error
   * @param {(id: number, position: object) => void} onSend  called when a position is sent
   * @param {(connected: boolean) => void} onState  called when the connection comes or goes
   */
  constructor(url, { onMessage, onSend, onState }) {
    this.url = url;
    this.onMessage = onMessage;
    this.onSend = onSend;
    this.onState = onState;
    this.requestId = 0;
    this.inFlight = null;
    this.wanted = null;
    this.last = null;
    this.attempts = 0;
    this.closed = false;
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(this.url);
    this.socket.onopen = () => {
      this.attempts = 0;
      this.inFlight = null;
      this.onState(true);
      this.wanted = this.wanted || this.last;
      this.flush();
    };
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    this.socket.onclose = () => {
      this.onState(false);
      if (this.closed) return;
      const wait = RETRY_MS[Math.min(this.attempts++, RETRY_MS.length - 1)];
      setTimeout(() => this.closed || this.connect(), wait);
    };
  }

  /** Ask about a position; an older one that was not sent yet is forgotten. */
  ask(position) {
    this.wanted = position;
    this.flush();
  }

  flush() {
    const stuck = this.inFlight && performance.now() - this.inFlight.at > STUCK_MS;
    if (!this.wanted || (this.inFlight && !stuck) || this.socket.readyState !== WebSocket.OPEN) return;
    this.last = this.wanted;
    this.wanted = null;
    this.inFlight = { id: ++this.requestId, at: performance.now() };
    this.onSend(this.requestId, this.last);
    this.socket.send(JSON.stringify({ ...this.last, request_id: this.requestId }));
  }

  receive(message) {
    // Sizes come before an answer that takes seconds: the next position need not wait for it.
    const settles = ["error", "sizes"].includes(message.type) || (message.type === "answer" && !message.stop);
    if (this.inFlight && settles && message.request_id === this.inFlight.id) this.inFlight = null;
    this.onMessage(message);
    this.flush();
  }

  close() {
    this.closed = true;
    this.socket.close();
  }
}
