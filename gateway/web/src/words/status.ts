/** OPC UA StatusCodes in words. */

import type { Same } from "./catalogue";

export const en = {
  status_Good: "Good",
  status_GoodLocalOverride: "Good, overridden by hand",
  status_Uncertain: "Uncertain",
  status_UncertainLastUsableValue: "Last usable value",
  status_UncertainSensorNotAccurate: "Sensor not accurate",
  status_UncertainEngineeringUnitsExceeded: "Outside the measuring range",
  status_UncertainSubNormal: "Fewer sources than needed",
  status_UncertainSimulatedValue: "Simulated value",
  status_Bad: "Bad",
  status_BadDecodingError: "The answer cannot be decoded",
  status_BadTimeout: "No answer in time",
  status_BadWaitingForInitialData: "Waiting for the first value",
  status_BadNoCommunication: "No communication",
  status_BadConfigurationError: "Configuration error",
  status_BadNotConnected: "Not connected",
  status_BadDeviceFailure: "Device failure",
  status_BadSensorFailure: "Sensor failure",
  status_BadOutOfService: "Out of service",
  status_BadDataLost: "Data lost",
  status_BadNoData: "No data",
};

export const zh: Same<typeof en> = {
  status_Good: "良好",
  status_GoodLocalOverride: "良好，人工置数",
  status_Uncertain: "不确定",
  status_UncertainLastUsableValue: "最后可用值",
  status_UncertainSensorNotAccurate: "传感器不准确",
  status_UncertainEngineeringUnitsExceeded: "超出测量范围",
  status_UncertainSubNormal: "数据源不足",
  status_UncertainSimulatedValue: "仿真值",
  status_Bad: "坏",
  status_BadDecodingError: "应答无法解码",
  status_BadTimeout: "应答超时",
  status_BadWaitingForInitialData: "等待首个数值",
  status_BadNoCommunication: "通信中断",
  status_BadConfigurationError: "配置错误",
  status_BadNotConnected: "未连接",
  status_BadDeviceFailure: "设备故障",
  status_BadSensorFailure: "传感器故障",
  status_BadOutOfService: "停用",
  status_BadDataLost: "数据丢失",
  status_BadNoData: "无数据",
};

const STATUS_NAMES: Readonly<Record<number, keyof typeof en>> = {
  0x00000000: "status_Good",
  0x00960000: "status_GoodLocalOverride",
  0x40000000: "status_Uncertain",
  0x40900000: "status_UncertainLastUsableValue",
  0x40930000: "status_UncertainSensorNotAccurate",
  0x40940000: "status_UncertainEngineeringUnitsExceeded",
  0x40950000: "status_UncertainSubNormal",
  0x42090000: "status_UncertainSimulatedValue",
  0x80000000: "status_Bad",
  0x80070000: "status_BadDecodingError",
  0x800a0000: "status_BadTimeout",
  0x80310000: "status_BadNoCommunication",
  0x80320000: "status_BadWaitingForInitialData",
  0x80890000: "status_BadConfigurationError",
  0x808a0000: "status_BadNotConnected",
  0x808b0000: "status_BadDeviceFailure",
  0x808c0000: "status_BadSensorFailure",
  0x808d0000: "status_BadOutOfService",
  0x809b0000: "status_BadNoData",
  0x809d0000: "status_BadDataLost",
};

/** A StatusCode in words; one without a name shows its severity and number. */
export function statusWords(words: Same<typeof en>, status: number): string {
  const code = (status & 0xffff0000) >>> 0;
  const key = STATUS_NAMES[code];
  if (key !== undefined) return words[key];
  const level = status >>> 30;
  const severity = level === 0 ? words.status_Good : level === 1 ? words.status_Uncertain : words.status_Bad;
  return `${severity} (0x${code.toString(16).toUpperCase().padStart(8, "0")})`;
}
