export {
  type AttributeValue,
  type OtlpAttributes,
  writeAttribute,
  writeAttributes,
  writeName,
  writeNamed,
} from "./attributes.ts";
export { createExportRequest, type ExportOrigin } from "./export-request.ts";
export { type OtlpLogRecord, type SeverityName, writeLogHead, writeLogRecord } from "./log-record.ts";
export { ProtoWriter } from "./proto-writer.ts";
export { RecordQueue } from "./record-queue.ts";
export { type OtlpSpan, writeSpan } from "./span.ts";
export { finishRecord, sliceRecords, startRecord, type WrittenRecords } from "./written-records.ts";
