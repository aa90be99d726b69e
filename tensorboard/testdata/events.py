"""Reads and writes event files by the published format, with nothing of this project's: Google's
protobuf (Debian: python3-protobuf) and a CRC-32C of its own.

  events.py golden FILE   write golden.tfevents, which the tests compare bytes with
  events.py read FILE     print the events as JSON; a damaged record ends it with an error

Its first record, and one of a scalar, were compared with those in the tests of the Python package
tensorboard_logger, whose files TensorBoard reads: they are the same. The messages are those of tensorflow/core/util/event.proto and
tensorflow/core/framework/summary.proto, as far as scalars, histograms and the start of a session need them (status is an enum there).
"""
import json
import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool

try:
    from google.protobuf.message_factory import GetMessageClass
except ImportError:
    from google.protobuf.message_factory import MessageFactory

    GetMessageClass = MessageFactory().GetPrototype

F = descriptor_pb2.FieldDescriptorProto


def message(name, *fields):
    m = descriptor_pb2.DescriptorProto(name=name)
    for number, field, kind, repeated in fields:
        f = m.field.add(name=field, number=number, label=F.LABEL_REPEATED if repeated else F.LABEL_OPTIONAL)
        if isinstance(kind, str):
            f.type, f.type_name = F.TYPE_MESSAGE, ".t." + kind
        else:
            f.type = kind
    return m


pool = descriptor_pool.DescriptorPool()
pool.Add(descriptor_pb2.FileDescriptorProto(name="event.proto", package="t", syntax="proto3", message_type=[
    message("HistogramProto", *[(i + 1, n, F.TYPE_DOUBLE, i > 4) for i, n in enumerate(
        ["min", "max", "num", "sum", "sum_squares", "bucket_limit", "bucket"])]),
    message("Value", (1, "tag", F.TYPE_STRING, False), (2, "simple_value", F.TYPE_FLOAT, False),
            (5, "histo", "HistogramProto", False)),
    message("Summary", (1, "value", "Value", True)),
    message("SessionLog", (1, "status", F.TYPE_INT32, False)),
    message("Event", (1, "wall_time", F.TYPE_DOUBLE, False), (2, "step", F.TYPE_INT64, False),
            (3, "file_version", F.TYPE_STRING, False), (5, "summary", "Summary", False),
            (7, "session_log", "SessionLog", False)),
]))
Event = GetMessageClass(pool.FindMessageTypeByName("t.Event"))


def masked_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(event):
    data = event.SerializeToString()
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc32c(head)) + data + struct.pack("<I", masked_crc32c(data))


def golden():
    events = [Event(wall_time=256.5, file_version="brain.Event:2")]
    for step, tag, value in [(0, "meta_loss/valid", 1.5), (7, "v", -0.25)]:
        events.append(Event(wall_time=256.5, step=step))
        events[-1].summary.value.add(tag=tag, simple_value=value)
    events.append(Event(wall_time=256.5, step=1 << 40))
    h = events[-1].summary.value.add(tag="same").histo
    h.min = h.max = 2
    h.num, h.sum, h.sum_squares = 3, 6, 12
    h.bucket_limit.append(2.5)
    h.bucket.append(3)
    events.append(Event(wall_time=256.5, step=300))
    events[-1].session_log.status = 1  # START
    return b"".join(record(e) for e in events)


def read(data):
    while data:
        head, size = data[:8], struct.unpack("<Q", data[:8])[0]
        body = data[12:12 + size]
        assert len(data) >= 16 + size, "cut short"
        assert struct.unpack("<I", data[8:12])[0] == masked_crc32c(head), "checksum of a length"
        assert struct.unpack("<I", data[12 + size:16 + size])[0] == masked_crc32c(body), "checksum of an event"
        event = Event.FromString(body)
        whole = event.ByteSize()
        event.DiscardUnknownFields()
        assert event.ByteSize() == whole, "fields that are not in the format"
        line = {"time": event.wall_time, "step": event.step, "version": event.file_version, "session": event.session_log.status}
        for v in event.summary.value:
            line["tag"] = v.tag
            if v.HasField("histo"):
                h = v.histo
                line["histogram"] = {"min": h.min, "max": h.max, "num": h.num, "sum": h.sum, "sum_squares": h.sum_squares,
                                     "limits": list(h.bucket_limit), "counts": list(h.bucket)}
            else:
                line["value"] = v.simple_value
        yield line
        data = data[16 + size:]


if sys.argv[1] == "golden":
    with open(sys.argv[2], "wb") as f:
        f.write(golden())
else:
    with open(sys.argv[2], "rb") as f:
        for line in read(f.read()):
            print(json.dumps(line))
