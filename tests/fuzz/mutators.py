"""Damage to valid files: of bytes, and of what the bytes mean.

A file is taken apart as far as its format is known here, one part is damaged, and it is put
together again with checksums and lengths that are right, so that the damage arrives behind the
first check. Every choice is drawn by hypothesis.
"""

from __future__ import annotations

import gzip
import io
import json
import pickletools
import re
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from dataclasses import replace
from functools import cache

import yaml
from hypothesis import strategies as st

EXTREMES = (0, 1, 2, 127, 128, 255, 256, 32_767, 65_535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
NAMES = (
    *("../x", "../../x.png", "/x", "/tmp/x", "C:\\x", "..\\x", "\\\\host\\x", "a/../../x", "."),
    *("", "..", "~/x", "a\x00b.png", "a\nb.png", "cat/" * 300, "x" * 70_000, "\u202egnp.exe"),
    *("nul", "con.png", "cat//1.png", "cat/./1.png", "file:///etc/passwd", "%s%n", "{0}"),
)
WORDS = (
    *(b"\0", b"\xff" * 8, b"%s%n", b"'", b'"', b",", b"\n", b"\r\n", b"\t", b"{", b"[", b"]}"),
    *(b"nan", b"inf", b"-1", b"1e999", b"9" * 400, b"9" * 5_000, b"\xef\xbb\xbf", b"\xed\xa0\x80"),
    *(b"[" * 5_000, b"\x80\x02cos\nsystem\n", b"True", b"null", b"\xfe\xff", b'"' + b"a" * 140_000),
)
YAML_WORDS = (
    *(
        b"&a [*a]",
        b"*a",
        b"!!python/object/apply:os.system [id]",
        b"!!binary x",
        b"<<: *a",
        b"? []",
    ),
    *(b"2024-99-99", b"0x", b"0b", b"1:1:1", b"1_0", b".nan", b".inf", b"!!float x", b"!!int x"),
    *(b"!!set {a, a}", b"{[1]: 2}", b"{{a: 1}: 2}", b"--- a\n--- b", b"%YAML 9.9\n---", b"1e400"),
    *(b"- " * 3_000, b"!!omap [1]", b"!!timestamp x", b"@", b"`", b"!<x> y", b"!!merge <<"),
)
VALUES = (
    *(None, True, False, 0, -1, 1, 2, 255, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0),
    *(
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "../../etc/passwd",
        "x" * 70_000,
        "\ud800",
        "\x00",
    ),
    *([], {}, [[]], [None], {"": None}, [0] * 5_000, "nan", "9" * 5_000, [10**12, 10**12], "wine"),
)
BOMB_BYTES = 24 * 2**20


@st.composite
def damaged(draw, seed):
    """A seed with one to three damages."""
    content = seed.content
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        content = _damage(draw, seed.format, seed.filename, content)
    return replace(seed, content=content)


def _damage(draw, kind, name, content):
    """Return content with one damage, of its meaning where that is possible."""
    if draw(st.integers(0, 3)):
        for takes, change in _STRUCTURES:
            if takes(kind, name, content):
                try:
                    return change(draw, kind, name, content)
                except _UNREADABLE:
                    break  # an earlier damage went too deep
    return _bytes(draw, content)


_UNREADABLE = (
    *(ValueError, KeyError, IndexError, TypeError, EOFError, OSError, OverflowError),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error),
    *(RuntimeError, AttributeError, yaml.YAMLError),
)


# --- bytes ----------------------------------------------------------------------------------------


def _place(draw, size):
    """Draw a place; every other one is near the beginning or the end, where headers are."""
    where = draw(st.sampled_from(("head", "any", "any", "tail")))
    if where == "any" or size < 64:
        return draw(st.integers(0, max(size - 1, 0)))
    near = draw(st.integers(0, 63))
    return near if where == "head" else size - 1 - near


def _bytes(draw, content, words=WORDS):
    at = _place(draw, len(content))
    length = draw(st.sampled_from((1, 1, 2, 4, 8, 16, 100, 5_000)))
    span = content[at : at + length]
    match draw(st.sampled_from(("flip", "byte", "field", "cut", "end", "word", "again", "move"))):
        case "flip":
            changed = bytes([(content[at] if content else 0) ^ (1 << draw(st.integers(0, 7)))])
            return content[:at] + changed + content[at + 1 :]
        case "byte":
            return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
        case "field":
            width = draw(st.sampled_from((2, 4, 8)))
            value = draw(st.sampled_from(EXTREMES)) % 256**width
            order = draw(st.sampled_from(("little", "big")))
            return content[:at] + value.to_bytes(width, order) + content[at + width :]
        case "cut":
            return content[:at] + content[at + length :]
        case "end":
            return content[:at]
        case "word":
            return content[:at] + draw(st.sampled_from(words)) + content[at:]
        case "again":
            times = draw(st.sampled_from((2, 2, 10, 1_000)))
            return content[:at] + span * times + content[at + length :]
        case _:
            to = _place(draw, len(content))
            rest = content[:at] + content[at + length :]
            return rest[:to] + span + rest[to:]


# --- places with files ----------------------------------------------------------------------------


def _is_zip(kind, name, content):
    return content.startswith(b"PK\x03\x04")


def _zip(draw, kind, name, content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(i.filename, archive.read(i), i.compress_type) for i in archive.infolist()]
    infos = [zipfile.ZipInfo(member) for member, _, _ in members]
    contents = [data for _, data, _ in members]
    methods = [method for _, _, method in members]
    i = draw(st.integers(0, len(members) - 1))
    what = draw(st.sampled_from(("inside", "inside", "inside", "name", "kind", "bomb", "set")))
    match what:
        case "inside":
            contents[i] = _damage(draw, kind, infos[i].filename, contents[i])
        case "name":
            infos[i].filename = draw(st.sampled_from((*NAMES, infos[0].filename)))
        case "kind":
            kinds = (stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFBLK, stat.S_IFCHR)
            infos[i].create_system = 3
            infos[i].external_attr = (draw(st.sampled_from(kinds)) | 0o777) << 16
            contents[i] = draw(st.sampled_from((b"/etc/passwd", b"../../x", contents[i])))
        case "bomb":
            contents[i], methods[i] = bytes(BOMB_BYTES), zipfile.ZIP_DEFLATED
        case _:
            order = draw(st.sampled_from(("drop", "again", "move", "add")))
            info, data, method = infos[i], contents[i], methods[i]
            if order != "again":
                del infos[i], contents[i], methods[i]
            if order != "drop":
                new = draw(st.sampled_from(NAMES[10:])) if order == "add" else info.filename
                infos.append(zipfile.ZipInfo(new))
                contents.append(data)
                methods.append(method)
    packed = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        with zipfile.ZipFile(packed, "w") as archive:
            for info, data, method in zip(infos, contents, methods, strict=True):
                archive.writestr(info, data, method)
    return _lying_zip(draw, packed.getvalue()) if what == "kind" else packed.getvalue()


def _lying_zip(draw, content):
    """Write an extreme value into a field of one entry of the directory, or of its end."""
    entries = [m.start() for m in re.finditer(rb"PK\x01\x02|PK\x05\x06", content)]
    at = draw(st.sampled_from(entries)) + draw(st.integers(4, 45))
    width = draw(st.sampled_from((2, 4)))
    value = (draw(st.sampled_from(EXTREMES)) % 256**width).to_bytes(width, "little")
    return content[:at] + value + content[at + width :]


def _is_tar(kind, name, content):
    return ".tar" in name and (content[:2] == b"\x1f\x8b" or content[257:262] == b"ustar")


def _tar(draw, kind, name, content):
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [(i, archive.extractfile(i).read() if i.isreg() else b"") for i in archive]
    i = draw(st.integers(0, len(members) - 1))
    info, data = members[i]
    match draw(st.sampled_from(("inside", "inside", "name", "kind", "bomb", "pax", "set"))):
        case "inside":
            members[i] = (info, _damage(draw, kind, info.name, data))
        case "name":
            info.name = draw(st.sampled_from(NAMES))
        case "kind":
            kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)
            info.type = draw(
                st.sampled_from((*kinds, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"S", b"K"))
            )
            info.linkname = draw(st.sampled_from(NAMES))
        case "bomb":
            members[i] = (info, bytes(BOMB_BYTES))
        case "pax":
            key = draw(st.sampled_from(("path", "size", "linkpath", "GNU.sparse.size", "mtime")))
            info.pax_headers = {key: draw(st.sampled_from(("-1", "9" * 400, "x", "../x", "1e999")))}
        case _:
            members = draw(
                st.sampled_from((members[:i] + members[i + 1 :], [*members, members[i]]))
            )
    packed = io.BytesIO()
    mode = "w:gz" if content[:2] == b"\x1f\x8b" else "w"
    form = draw(st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)))
    with tarfile.open(fileobj=packed, mode=mode, format=form) as archive:
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def _is_gzip(kind, name, content):
    return content.startswith(b"\x1f\x8b")


def _gzip(draw, kind, name, content):
    match draw(st.sampled_from(("inside", "inside", "bomb", "more", "twice"))):
        case "bomb":
            return gzip.compress(gzip.decompress(content)[:16] + bytes(BOMB_BYTES), mtime=0)
        case "more":
            return content + draw(st.sampled_from((content, b"\x1f\x8b", b"x" * 100)))
        case "twice":
            return gzip.compress(content, mtime=0)
        case _:
            inner = _damage(draw, kind, name.removesuffix(".gz"), gzip.decompress(content))
            return gzip.compress(inner, mtime=0)


# --- plain values: JSON, YAML, headers ------------------------------------------------------------


def _plain(draw, value):
    """Return plain data of which one value, key or item is another."""
    nodes = list(_nodes(value))
    if not nodes:
        return draw(st.sampled_from(VALUES))
    holder, key = draw(st.sampled_from(nodes))
    match draw(st.sampled_from(("value", "value", "gone", "key", "again", "deep", "swap"))):
        case "gone":
            del holder[key]
        case "key" if isinstance(holder, dict):
            new = draw(st.sampled_from(("", "x", "__class__", "../x", "x" * 70_000, *_keys(value))))
            holder[new] = holder.pop(key)
        case "again" if isinstance(holder, list):
            holder *= draw(st.sampled_from((2, 50)))
        case "deep":
            for _ in range(draw(st.sampled_from((1, 3, 900)))):
                holder[key] = [holder[key]]
        case "swap":
            other, where = draw(st.sampled_from(nodes))
            holder[key], other[where] = _copy(other[where]), _copy(holder[key])
        case _:
            holder[key] = draw(st.sampled_from(VALUES))
    return value


def _copy(value):
    return json.loads(json.dumps(value))


def _nodes(value):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if not isinstance(value, dict | list):
        return
    for key, inner in items:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _nodes(inner)


def _keys(value):
    return sorted({key for holder, key in _nodes(value) if isinstance(key, str)})


def _dumped(value):
    return json.dumps(value).encode()


def _is_json(kind, name, content):
    return name.endswith(".json")


def _json(draw, kind, name, content):
    if not draw(st.integers(0, 4)):
        return _bytes(draw, content)
    return _dumped(_plain(draw, json.loads(content)))


def _is_yaml(kind, name, content):
    return name.endswith(".yaml")


def _yaml(draw, kind, name, content):
    if b"*a" in content:  # laughs already: to walk through what they stand for has no end
        return _bytes(draw, content, (*YAML_WORDS, *WORDS))
    match draw(st.sampled_from(("plain", "word", "word", "value", "laughs"))):
        case "plain":
            return yaml.safe_dump(_plain(draw, yaml.safe_load(content))).encode("utf-8", "replace")
        case "word":
            return _bytes(draw, content, (*YAML_WORDS, *WORDS))
        case "value":
            values = [m.span() for m in re.finditer(rb"(?<=: )[^\n,}]+", content)]
            start, end = draw(st.sampled_from(values))
            return content[:start] + draw(st.sampled_from(YAML_WORDS)) + content[end:]
        case _:
            lines = [b"a0: &a0 [x, x]"]
            for i in range(1, draw(st.sampled_from((3, 12, 40)))):
                lines.append(b"a%d: &a%d [*a%d, *a%d]" % (i, i, i - 1, i - 1))
            name = draw(st.sampled_from((b"model", b"steps", b"seed", b"data", b"split", b"x")))
            head = b"version: 1\n" if draw(st.booleans()) else b"model: x\n"
            flat = b"\n  ".join(lines)
            return head + b"model: a\ndata: b\n" + name + b":\n  " + flat + b"\n"


def _is_link(kind, name, content):
    return kind == "link"


def _link(draw, kind, name, content):
    import base64

    plain = zlib.decompress(base64.urlsafe_b64decode(content + b"=" * (-len(content) % 4)))
    match draw(st.sampled_from(("plain", "plain", "bytes", "bomb"))):
        case "plain":
            plain = _dumped(_plain(draw, json.loads(plain)))
        case "bytes":
            plain = _bytes(draw, plain)
        case _:
            plain = bytes(BOMB_BYTES)
    return base64.urlsafe_b64encode(zlib.compress(plain)).rstrip(b"=")


# --- models ---------------------------------------------------------------------------------------


def _is_safetensors(kind, name, content):
    return name.endswith(".safetensors")


def _safetensors(draw, kind, name, content):
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    match draw(st.sampled_from(("header", "header", "own", "own", "body", "values", "length"))):
        case "own" if "optim" in header.get("__metadata__", {}):
            own = _plain(draw, json.loads(header["__metadata__"]["optim"]))
            header["__metadata__"]["optim"] = json.dumps(own)
        case "body":
            body = _bytes(draw, body)
        case "values":
            name = draw(st.sampled_from([key for key in header if key != "__metadata__"]))
            start, end = header[name]["data_offsets"]
            word = draw(st.sampled_from((b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\xff" * 4, b"\0" * 4)))
            body = body[:start] + (word * ((end - start) // 4 + 1))[: end - start] + body[end:]
        case "length":
            length = draw(st.sampled_from(EXTREMES))
            return length.to_bytes(8, "little") + content[8:]
        case _:
            header = _plain(draw, header)
    text = _dumped(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def _is_onnx(kind, name, content):
    return name.endswith(".onnx")


def _onnx(draw, kind, name, content):
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(content)
    except DecodeError as error:
        raise ValueError from error
    match draw(st.sampled_from(("field", "field", "field", "wire", "external", "many", "own"))):
        case "wire":
            nodes = model.graph.node
            ends = [name for node in nodes for name in (*node.output, *node.input)] or [""]
            node = draw(st.sampled_from(list(nodes)))
            names = draw(st.sampled_from((node.input, node.output)))
            if names:
                names[draw(st.integers(0, len(names) - 1))] = draw(st.sampled_from(ends))
        case "external":
            tensor = draw(st.sampled_from(list(model.graph.initializer)))
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.ClearField("raw_data")
            place = draw(st.sampled_from((*NAMES[:9], "/etc/passwd", name, "../home")))
            for key, value in {"location": place, "offset": "-1", "length": "9" * 20}.items():
                if key == "location" or draw(st.booleans()):
                    tensor.external_data.add(key=key, value=value)
        case "many":
            node = draw(st.sampled_from(list(model.graph.node)))
            for _ in range(draw(st.sampled_from((1, 50, 3_000)))):
                model.graph.node.append(node)
        case "own" if model.metadata_props:
            own = draw(st.sampled_from(list(model.metadata_props)))
            changed = draw(st.sampled_from((own.value, "{}"))) if own.value else "{}"
            own.value = json.dumps(_plain(draw, json.loads(changed)))
        case _:
            holder, known = draw(st.sampled_from(list(_messages(model))))
            _field(draw, holder, known)
    return model.SerializeToString()


def _messages(message):
    """Yield every message of a tree and each of its fields."""
    for known, value in message.ListFields():
        yield message, known
        if known.type == known.TYPE_MESSAGE:
            for inner in value if _is_repeated(known) else [value]:
                yield from _messages(inner)


@cache
def _is_repeated(known):
    repeated = getattr(known, "is_repeated", None)
    return known.label == known.LABEL_REPEATED if repeated is None else repeated


def _field(draw, holder, known):
    """Give a field of a protobuf message another value, in place."""
    if draw(st.integers(0, 5)) == 0:
        holder.ClearField(known.name)
        return
    value = getattr(holder, known.name)
    if not _is_repeated(known):
        if known.type == known.TYPE_MESSAGE:
            value.Clear()
        else:
            setattr(holder, known.name, _scalar(draw, known, value))
        return
    i = draw(st.integers(0, len(value) - 1))
    match draw(st.sampled_from(("gone", "again", "swap", "value"))):
        case "gone":
            del value[i]
        case "again":
            times = draw(st.sampled_from((1, 10)))
            value.extend([value[i]] * times)
        case "swap" if known.type == known.TYPE_MESSAGE:
            other = draw(st.integers(0, len(value) - 1))
            one, two = type(value[i])(), type(value[i])()
            one.CopyFrom(value[i])
            two.CopyFrom(value[other])
            value[i].CopyFrom(two)
            value[other].CopyFrom(one)
        case _ if known.type != known.TYPE_MESSAGE:
            value[i] = _scalar(draw, known, value[i])


_OPERATORS = (
    *("Loop", "If", "Scan", "Conv", "Gemm", "Resize", "Expand", "Tile", "Pad", "ConstantOfShape"),
    *("Range", "OneHot", "LSTM", "NonMaxSuppression", "Einsum", "StringNormalizer", "Unknown"),
)


def _scalar(draw, known, value):
    if isinstance(value, bool | int):
        extremes = (*EXTREMES, -1, -(2**31), *range(30))
        narrow = known.type in (known.TYPE_INT32, known.TYPE_ENUM)
        drawn = draw(st.sampled_from(extremes))
        return max(min(drawn, 2**31 - 1), -(2**31)) if narrow else drawn
    if isinstance(value, float):
        return draw(st.sampled_from((0.0, -1.0, 1e38, float("nan"), float("inf"))))
    if isinstance(value, str):
        return draw(st.sampled_from((*NAMES, *_OPERATORS, "com.microsoft", value + "x")))
    return _bytes(draw, value)


# --- arrays, pickles, pictures, tables ------------------------------------------------------------


def _is_npy(kind, name, content):
    return content.startswith(b"\x93NUMPY")


_HEADERS = (
    *(
        "(-1,)",
        "(10**12, 10**12)",
        "(0,)",
        "()",
        "(1,)" * 40,
        "[3, 3]",
        "(9999999999999,)",
        "(1.5,)",
    ),
    *("'|O'", "'<U99999'", "'|V100000'", "'<f2'", "'<c16'", "'<M8[ns]'", "'>i8'", "[('a', '<f4')]"),
    *("True", "None", "'f8,(1000000,)i4'", "'|S0'", "('<f4', (1000, 1000, 1000))", "'<f16'"),
)


def _npy(draw, kind, name, content):
    length = int.from_bytes(content[8:10], "little")
    header, body = content[10 : 10 + length], content[10 + length :]
    if draw(st.booleans()):
        values = [m.span() for m in re.finditer(rb"(?<=: )(\([^)]*\)|'[^']*'|True|False)", header)]
        start, end = draw(st.sampled_from(values))
        header = header[:start] + draw(st.sampled_from(_HEADERS)).encode() + header[end:]
    else:
        header = _bytes(draw, header)
    return content[:8] + (len(header) % 65_536).to_bytes(2, "little") + header + body


def _is_pickle(kind, name, content):
    return content[:1] == b"\x80" and content.rstrip(b"\0")[-1:] == b"."


_OPCODES = (
    *(b"cos\nsystem\n", b"(S'id'\nt", b"R", b"b", b"0", b"2", b"(", b"]", b"}", b"u", b"e", b"s"),
    *(
        b"i__main__\nx\n",
        b"o",
        b"\x81",
        b"Q",
        b"P1\n",
        b"h\x00",
        b"j\xff\xff\xff\xff",
        b"r\xff\xff\xff\x7f",
    ),
    *(
        b"I" + b"9" * 5_000 + b"\n",
        b"F1e999\n",
        b"L1x\n",
        b"V\\ud800\n",
        b"B\xff\xff\xff\x7f",
        b"Ubx",
    ),
    *(
        b"\x8e" + b"\xff" * 8,
        b"\x8a\xff" + b"\x01" * 255,
        b"\x95" + b"\xff" * 8,
        b"\x97\x98",
        b"N",
        b".",
    ),
)


def _pickle(draw, kind, name, content):
    starts = [at for _, _, at in pickletools.genops(content)]
    spans = list(zip(starts, [*starts[1:], len(content)], strict=True))
    start, end = draw(st.sampled_from(spans))
    other, after = draw(st.sampled_from(spans))
    match draw(st.sampled_from(("gone", "again", "code", "instead", "copy", "inside"))):
        case "gone":
            return content[:start] + content[end:]
        case "again":
            times = draw(st.sampled_from((2, 1_000)))
            return content[:start] + content[start:end] * times + content[end:]
        case "code":
            return content[:start] + draw(st.sampled_from(_OPCODES)) + content[start:]
        case "instead":
            return content[:start] + draw(st.sampled_from(_OPCODES)) + content[end:]
        case "copy":
            return content[:start] + content[other:after] + content[start:]
        case _:
            return content[:start] + _bytes(draw, content[start:end]) + content[end:]


def _is_png(kind, name, content):
    return content.startswith(b"\x89PNG")


def _png(draw, kind, name, content):
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + size]])
        at += 12 + size
    i = draw(st.integers(0, len(chunks) - 1))
    match draw(st.sampled_from(("inside", "inside", "name", "again", "bomb", "text"))):
        case "inside":
            chunks[i][1] = _bytes(draw, chunks[i][1])
        case "name":
            names = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"zTXt", b"acTL", b"eXIf", b"gAMA")
            chunks[i][0] = draw(st.sampled_from(names))
        case "again":
            chunks[i:i] = [chunks[i]] * draw(st.sampled_from((1, 100)))
        case "bomb":
            size = draw(st.sampled_from((5_000, 40_000, 2**31 - 1)))
            chunks[0][1] = struct.pack(">II", size, size) + chunks[0][1][8:]
        case _:
            text = b"a\0\0" + zlib.compress(bytes(BOMB_BYTES))
            chunks[1:1] = [[draw(st.sampled_from((b"zTXt", b"iCCP"))), text]]
    parts = (
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks
    )
    return content[:8] + b"".join(parts)


def _is_table(kind, name, content):
    return name.endswith((".csv", ".tsv"))


_CELLS = (
    *(
        b"",
        b"nan",
        b"1e999",
        b"-1",
        b"9" * 400,
        b'"',
        b'"a\nb"',
        b"\0",
        b"x" * 200_000,
        b"a,b",
        b"\xff",
    ),
    *(
        b"true",
        b"2024-13-45",
        b"0x10",
        b"1_000",
        b"=cmd|' /C calc'!A0",
        b"\xe2\x80\xae",
        b"1,5",
        b" ",
    ),
)


def _table(draw, kind, name, content):
    separator = b"\t" if name.endswith(".tsv") else b","
    rows = [row.split(separator) for row in content.split(b"\n")]
    row = draw(st.sampled_from(rows))
    i = draw(st.integers(0, len(row) - 1))
    match draw(st.sampled_from(("cell", "cell", "column", "gone", "row", "again", "wide", "end"))):
        case "cell":
            row[i] = draw(st.sampled_from(_CELLS))
        case "column":
            cell = draw(st.sampled_from(_CELLS))
            for other in rows[1:]:
                other[i : i + 1] = [cell]
        case "gone":
            del row[i]
        case "row":
            rows.remove(row)
        case "again":
            rows.extend([row] * draw(st.sampled_from((1, 30, 5_000))))
        case "wide":
            row.extend(row * draw(st.sampled_from((1, 30, 5_000))))
        case _:
            return draw(st.sampled_from((b"\r\n", b"\r", b";", b"\0"))).join(content.split(b"\n"))
    return b"\n".join(separator.join(row) for row in rows)


def _is_idx(kind, name, content):
    return kind == "idx" and content[:2] == b"\0\0"


def _idx(draw, kind, name, content):
    at = 4 * draw(st.integers(0, 3))
    if at == 0:
        kinds = st.sampled_from((0, 8, 9, 11, 12, 13, 14, 255))
        return bytes([0, 0, draw(kinds), draw(st.sampled_from((0, 1, 3, 4, 5, 255)))]) + content[4:]
    side = draw(st.sampled_from(EXTREMES)) % 2**32
    return content[:at] + side.to_bytes(4, "big") + content[at + 4 :]


def _is_packed(kind, name, content):
    return content[:4] == b"OPAK"


def _packed(draw, kind, name, content):
    """Damage what the checksum is about, and correct the checksum."""
    body = _bytes(draw, content[9:])
    return content[:5] + zlib.crc32(body).to_bytes(4, "little") + body


_STRUCTURES = (
    (_is_packed, _packed),
    (_is_tar, _tar),
    (_is_zip, _zip),
    (_is_gzip, _gzip),
    (_is_safetensors, _safetensors),
    (_is_onnx, _onnx),
    (_is_npy, _npy),
    (_is_png, _png),
    (_is_idx, _idx),
    (_is_table, _table),
    (_is_link, _link),
    (_is_json, _json),
    (_is_yaml, _yaml),
    (_is_pickle, _pickle),
)
"""How a file is known, and what takes it apart; the first that knows it has it."""
