from plant.wire import sparkplug_b_pb2 as _sparkplug_b_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
EXTENSION_FIELD_NUMBER: _ClassVar[int]
extension: _descriptor.FieldDescriptor

class Extension(_message.Message):
    __slots__ = ("row", "runs", "dead")
    class Row(_message.Message):
        __slots__ = ("run", "offset", "after", "resend")
        RUN_FIELD_NUMBER: _ClassVar[int]
        OFFSET_FIELD_NUMBER: _ClassVar[int]
        AFTER_FIELD_NUMBER: _ClassVar[int]
        RESEND_FIELD_NUMBER: _ClassVar[int]
        run: str
        offset: int
        after: int
        resend: bool
        def __init__(self, run: _Optional[str] = ..., offset: _Optional[int] = ..., after: _Optional[int] = ..., resend: _Optional[bool] = ...) -> None: ...
    class Run(_message.Message):
        __slots__ = ("run", "acked", "kept")
        RUN_FIELD_NUMBER: _ClassVar[int]
        ACKED_FIELD_NUMBER: _ClassVar[int]
        KEPT_FIELD_NUMBER: _ClassVar[int]
        run: str
        acked: int
        kept: int
        def __init__(self, run: _Optional[str] = ..., acked: _Optional[int] = ..., kept: _Optional[int] = ...) -> None: ...
    class Runs(_message.Message):
        __slots__ = ("current", "runs")
        CURRENT_FIELD_NUMBER: _ClassVar[int]
        RUNS_FIELD_NUMBER: _ClassVar[int]
        current: str
        runs: _containers.RepeatedCompositeFieldContainer[Extension.Run]
        def __init__(self, current: _Optional[str] = ..., runs: _Optional[_Iterable[_Union[Extension.Run, _Mapping]]] = ...) -> None: ...
    ROW_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    DEAD_FIELD_NUMBER: _ClassVar[int]
    row: Extension.Row
    runs: Extension.Runs
    dead: bool
    def __init__(self, row: _Optional[_Union[Extension.Row, _Mapping]] = ..., runs: _Optional[_Union[Extension.Runs, _Mapping]] = ..., dead: _Optional[bool] = ...) -> None: ...
