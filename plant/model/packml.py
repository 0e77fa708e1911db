"""Machine states by PackML (ISA-TR88.00.02-2015, numbers of its annex; OPC 30050 names).

Held: the cause is inside the machine. Suspended: outside (starved, blocked). 0 is ours:
unknown, neither up nor down.
"""

from enum import IntEnum

from plant.model.signal import Label


class PackML(IntEnum):
    """State numbers as ISA-TR88 counts them; other documents number differently, so map by name."""

    Unknown = 0
    Clearing = 1
    Stopped = 2
    Starting = 3
    Idle = 4
    Suspended = 5
    Execute = 6
    Stopping = 7
    Aborting = 8
    Aborted = 9
    Holding = 10
    Held = 11
    Unholding = 12
    Suspending = 13
    Unsuspending = 14
    Resetting = 15
    Completing = 16
    Complete = 17


PACKML_LABELS: dict[int, Label] = {
    PackML.Unknown: Label("未知", "Unknown"),
    PackML.Clearing: Label("清除中", "Clearing"),
    PackML.Stopped: Label("已停止", "Stopped"),
    PackML.Starting: Label("启动中", "Starting"),
    PackML.Idle: Label("空闲", "Idle"),
    PackML.Suspended: Label("外因暂停", "Suspended"),
    PackML.Execute: Label("运行", "Execute"),
    PackML.Stopping: Label("停止中", "Stopping"),
    PackML.Aborting: Label("中止中", "Aborting"),
    PackML.Aborted: Label("故障停机", "Aborted"),
    PackML.Holding: Label("保持中", "Holding"),
    PackML.Held: Label("内因保持", "Held"),
    PackML.Unholding: Label("解除保持", "Unholding"),
    PackML.Suspending: Label("暂停中", "Suspending"),
    PackML.Unsuspending: Label("解除暂停", "Unsuspending"),
    PackML.Resetting: Label("复位中", "Resetting"),
    PackML.Completing: Label("完成中", "Completing"),
    PackML.Complete: Label("完成", "Complete"),
}
