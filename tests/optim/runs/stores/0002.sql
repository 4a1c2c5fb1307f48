BEGIN TRANSACTION;
CREATE TABLE studio_artefacts (
	run_id VARCHAR(32) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	bytes INTEGER NOT NULL, 
	PRIMARY KEY (run_id, name), 
	FOREIGN KEY(run_id) REFERENCES studio_runs (id)
);
INSERT INTO "studio_artefacts" VALUES('b0ee394450662336','recipe.yaml','f5f748a94205342875a0a2b88e00170a',196);
INSERT INTO "studio_artefacts" VALUES('b0ee394450662336','model.onnx','c22d26d33c5783cf2bd157ba48eefa47',10);
CREATE TABLE studio_epochs (
	run_id VARCHAR(32) NOT NULL, 
	step VARCHAR(80) NOT NULL, 
	epoch INTEGER NOT NULL, 
	figures JSON NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (run_id, step, epoch), 
	FOREIGN KEY(run_id) REFERENCES studio_runs (id)
);
INSERT INTO "studio_epochs" VALUES('b0ee394450662336','distill',1,'{"loss": 1.105480069053459, "learning_rate": 0.1, "accuracy": 0.8086938680574733, "train_accuracy": 0.78804080208621, "seconds": 2.5}',1.79580167883032202724e+09);
INSERT INTO "studio_epochs" VALUES('b0ee394450662336','distill',2,'{"loss": 0.7739934461758323, "learning_rate": 0.05, "accuracy": 0.8564241117657115, "train_accuracy": 0.8596361676485673, "seconds": 2.5}',1.79580167884642529483e+09);
INSERT INTO "studio_epochs" VALUES('b0ee394450662336','distill',3,'{"loss": 0.551791317868303, "learning_rate": 0.03333333333333333, "accuracy": 0.8853739679703141, "train_accuracy": 0.9030609519554711, "seconds": 2.5}',1.79580167885440778732e+09);
INSERT INTO "studio_epochs" VALUES('b0ee394450662336','distill',4,'{"loss": 0.40284477699198307, "learning_rate": 0.025, "accuracy": 0.9029329433526775, "train_accuracy": 0.9293994150290161, "seconds": 2.5}',1.79580167886232829098e+09);
INSERT INTO "studio_epochs" VALUES('8d8795603252d3e8','distill',1,'{"loss": 1.105480069053459, "learning_rate": 0.1, "accuracy": 0.8086938680574733, "train_accuracy": 0.78804080208621, "seconds": 2.5}',1.79580167894750285153e+09);
INSERT INTO "studio_epochs" VALUES('8d8795603252d3e8','distill',2,'{"loss": 0.7739934461758323, "learning_rate": 0.05, "accuracy": 0.8564241117657115, "train_accuracy": 0.8596361676485673, "seconds": 2.5}',1.7958016789555053711e+09);
CREATE TABLE studio_events (
	id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	at FLOAT NOT NULL, 
	level VARCHAR(16) NOT NULL, 
	message TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES studio_runs (id)
);
INSERT INTO "studio_events" VALUES(1,'b0ee394450662336',1.79580167880033707622e+09,'info','Submitted.');
INSERT INTO "studio_events" VALUES(2,'b0ee394450662336',1.79580167882303214079e+09,'info','Started, attempt 1 of 3.');
INSERT INTO "studio_events" VALUES(3,'b0ee394450662336',1.79580167888906908034e+09,'info','Finished.');
INSERT INTO "studio_events" VALUES(4,'fe0d7084093bb3fd',1.79580167890142488478e+09,'info','Submitted.');
INSERT INTO "studio_events" VALUES(5,'fe0d7084093bb3fd',1.79580167891287088401e+09,'info','Started, attempt 1 of 3.');
INSERT INTO "studio_events" VALUES(6,'fe0d7084093bb3fd',1.79580167892015051846e+09,'error','Failed: The loss is no longer a number.');
INSERT INTO "studio_events" VALUES(7,'8d8795603252d3e8',1.7958016789319298268e+09,'info','Submitted.');
INSERT INTO "studio_events" VALUES(8,'8d8795603252d3e8',1.79580167894044399261e+09,'info','Started, attempt 1 of 3.');
INSERT INTO "studio_events" VALUES(9,'90d82781f2ba56c7',1795801678.96576,'info','Submitted.');
CREATE TABLE studio_parents (
	run_id VARCHAR(32) NOT NULL, 
	parent_id VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	PRIMARY KEY (run_id, parent_id), 
	FOREIGN KEY(run_id) REFERENCES studio_runs (id), 
	FOREIGN KEY(parent_id) REFERENCES studio_runs (id)
);
CREATE TABLE studio_runs (
	id VARCHAR(32) NOT NULL, 
	title TEXT NOT NULL, 
	kind VARCHAR(80) NOT NULL, 
	spec JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	priority INTEGER NOT NULL, 
	created_at FLOAT NOT NULL, 
	started_at FLOAT, 
	finished_at FLOAT, 
	deleted_at FLOAT, 
	progress FLOAT NOT NULL, 
	message TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	max_attempts INTEGER NOT NULL, 
	budget_s FLOAT, 
	seconds FLOAT NOT NULL, 
	spent_s FLOAT NOT NULL, 
	energy_j FLOAT, 
	result JSON, 
	error JSON, 
	environment JSON NOT NULL, 
	fence INTEGER NOT NULL, 
	worker TEXT NOT NULL, 
	attempt_at FLOAT, 
	seen_at FLOAT, owner VARCHAR(64) DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "studio_runs" VALUES('b0ee394450662336','Recover, finished','recipe','{"recipe": {"version": 1, "model": "small-resnet", "data": "digits", "seed": 0, "steps": [{"prune_channels": {"pruning_ratio": 0.25}}, {"reestimate_batchnorm": {"samples": 128}}, {"distill": {"epochs": 4}}, {"quantize": {"samples": 128}}]}}','finished',0,1.79580167878703141209e+09,1.79580167881274580955e+09,1.7958016788869385719e+09,NULL,1.0,'',1,3,NULL,7.41927623748779296875e-02,7.41927623748779296875e-02,NULL,'{"schema": "optim.scorecard/1", "verdict": "This network is 4.1x smaller and loses 1.4 \u00b1 0.9 points.", "model": "small-resnet", "data": "digits", "part": "validation", "overlap": "unseen", "baseline": {"accuracy": {"value": 0.934, "unit": "fraction", "low": 0.914, "high": 0.9540000000000001, "n": 362, "how": "measured"}, "params": {"value": 4000, "unit": "params", "low": 4000, "high": 4000, "n": null, "how": "measured"}, "macs": {"value": 1250000, "unit": "macs", "low": 1250000, "high": 1250000, "n": null, "how": "measured"}, "sparsity": {"value": 0.0, "unit": "fraction", "low": 0.0, "high": 0.0, "n": null, "how": "measured"}, "file": {"value": 330032, "unit": "bytes", "low": 330032, "high": 330032, "n": null, "how": "measured"}, "latency": {"value": 0.42, "unit": "ms", "low": 0.4074, "high": 0.4326, "n": 40, "how": "measured"}, "primary": "accuracy", "sizes": {}, "conditions": {"runtime": "ONNX Runtime 1.32", "batch_size": 1, "threads": 1}}, "result": {"accuracy": {"value": 0.92, "unit": "fraction", "low": 0.9, "high": 0.9400000000000001, "n": 362, "how": "simulated"}, "params": {"value": 4000, "unit": "params", "low": 4000, "high": 4000, "n": null, "how": "measured"}, "macs": {"value": 402000, "unit": "macs", "low": 402000, "high": 402000, "n": null, "how": "measured"}, "sparsity": {"value": 0.0, "unit": "fraction", "low": 0.0, "high": 0.0, "n": null, "how": "measured"}, "file": {"value": 80500, "unit": "bytes", "low": 80500, "high": 80500, "n": null, "how": "measured"}, "latency": {"value": 0.21, "unit": "ms", "low": 0.2037, "high": 0.2163, "n": 40, "how": "measured"}, "primary": "accuracy", "sizes": {}, "conditions": {"runtime": "ONNX Runtime 1.32", "batch_size": 1, "threads": 1}}, "change": {"accuracy": {"difference": {"value": -1.4, "unit": "points", "low": -2.3, "high": -0.4999999999999999, "n": 362, "how": "measured"}, "better": "higher", "direction": "worse", "verdict": "loses 1.4 \u00b1 0.9 points"}, "file": {"difference": {"value": 0.244, "unit": "x", "low": 0.244, "high": 0.244, "n": null, "how": "measured"}, "better": "lower", "direction": "better", "verdict": "4.10x less"}, "latency": {"difference": {"value": 0.5, "unit": "x", "low": 0.48, "high": 0.52, "n": 40, "how": "measured"}, "better": "lower", "direction": "better", "verdict": "2.00 \u00b1 0.08x less"}}, "verification": {}, "steps": {"prune_channels": {"summary": "Prune channels did what it does.", "layers": [{"layer": "stem.conv", "touched": true, "detail": "changed", "amount": 0.5}, {"layer": "head", "touched": false, "detail": "left alone", "amount": null}], "notes": []}, "reestimate_batchnorm": {"summary": "Re-estimate batch norm did what it does.", "layers": [{"layer": "stem.conv", "touched": true, "detail": "changed", "amount": 0.5}, {"layer": "head", "touched": false, "detail": "left alone", "amount": null}], "notes": []}, "distill": {"summary": "Distil did what it does.", "layers": [{"layer": "stem.conv", "touched": true, "detail": "changed", "amount": 0.5}, {"layer": "head", "touched": false, "detail": "left alone", "amount": null}], "notes": []}, "quantize": {"summary": "Quantize did what it does.", "layers": [{"layer": "stem.conv", "touched": true, "detail": "changed", "amount": 0.5}, {"layer": "head", "touched": false, "detail": "left alone", "amount": null}], "notes": []}}}',NULL,'{"optim": "0.1.0", "threads": 1, "versions": {"torch": "2.13.0"}}',1,'',NULL,1.79580167888728213314e+09,'');
INSERT INTO "studio_runs" VALUES('fe0d7084093bb3fd','Recover, failed','recipe','{"recipe": {"version": 1, "model": "small-resnet", "data": "digits", "seed": 0, "steps": [{"prune_channels": {"pruning_ratio": 0.25}}, {"reestimate_batchnorm": {"samples": 128}}, {"distill": {"epochs": 4}}, {"quantize": {"samples": 128}}]}}','failed',0,1.79580167890038084983e+09,1.79580167891195201877e+09,1.7958016789183542728e+09,NULL,0.0,'',1,3,NULL,6.4022541046142578125e-03,6.4022541046142578125e-03,NULL,NULL,'{"kind": "RunError", "message": "The loss is no longer a number.", "hint": "Lower the learning rate.", "traceback": ""}','{}',1,'',NULL,1.79580167891871309276e+09,'');
INSERT INTO "studio_runs" VALUES('8d8795603252d3e8','Recover, interrupted','recipe','{"recipe": {"version": 1, "model": "small-resnet", "data": "digits", "seed": 0, "steps": [{"prune_channels": {"pruning_ratio": 0.25}}, {"reestimate_batchnorm": {"samples": 128}}, {"distill": {"epochs": 4}}, {"quantize": {"samples": 128}}]}}','running',0,1.79580167893073678014e+09,1.79580167893951773644e+09,NULL,NULL,0.35,'epoch 2 of 4, loss 0.774',1,3,NULL,0.0,0.0,NULL,NULL,NULL,'{"optim": "0.1.0", "threads": 1, "versions": {"torch": "2.13.0"}}',1,'here:0:0:0',1.79580167893951773644e+09,1.79580167896280860897e+09,'');
INSERT INTO "studio_runs" VALUES('90d82781f2ba56c7','Recover, waiting','recipe','{"recipe": {"version": 1, "model": "small-resnet", "data": "digits", "seed": 0, "steps": [{"prune_channels": {"pruning_ratio": 0.25}}, {"reestimate_batchnorm": {"samples": 128}}, {"distill": {"epochs": 4}}, {"quantize": {"samples": 128}}]}}','queued',0,1.79580167896487736698e+09,NULL,NULL,NULL,0.0,'',0,3,NULL,0.0,0.0,NULL,NULL,NULL,'{}',0,'',NULL,NULL,'');
CREATE TABLE studio_students (
	owner VARCHAR(64) NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	PRIMARY KEY (owner, "key")
);
CREATE TABLE studio_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT studio_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "studio_version" VALUES('0002');
CREATE INDEX studio_runs_by_state ON studio_runs (state, priority, created_at);
CREATE INDEX studio_events_by_run ON studio_events (run_id);
COMMIT;
