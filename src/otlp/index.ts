export { type AttributeValue, type OtlpAttributes, writeAttribute, writeAttributes } from "./attributes.ts";
export { type OtlpLogRecord, type SeverityName, writeLogHead, writeLogRecord } from "./log-record.ts";
export { createLogsRequest, type LogsOrigin } from "./logs-request.ts";
export { ProtoWriter } from "./proto-writer.ts";
export { recordsOf, type WrittenRecords } from "./written-records.ts";
