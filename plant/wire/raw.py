"""Sparkplug's schema with bytes where it says string, for reading what strangers send.

Not every edge writes UTF-8 (a GBK name is common in China), and protobuf raises at the first look
at such a string. On the wire string and bytes are the same, so the schema is made of the real one.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from plant.wire import kaikou_pb2
from plant.wire import sparkplug_b_pb2 as pb

_FIELD = descriptor_pb2.FieldDescriptorProto


def _raw(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        if field.type == _FIELD.TYPE_STRING:
            field.type = _FIELD.TYPE_BYTES
    for nested in message.nested_type:
        _raw(nested)


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for module in (pb, kaikou_pb2):
        file = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        for message in file.message_type:
            _raw(message)
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _pool()
Payload: Any = message_factory.GetMessageClass(
    _POOL.FindMessageTypeByName("org.eclipse.tahu.protobuf.Payload")
)
Extension: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("kaikou.Extension"))
field_1000: Any = _POOL.FindExtensionByName("kaikou.extension")
