import { type OtlpAttributes, writeAttributes } from "./attributes.ts";
import { ProtoWriter, sizeOfVarint } from "./proto-writer.ts";
import type { WrittenRecords } from "./written-records.ts";

/** Whose spans or log records they are. */
export interface ExportOrigin {
  readonly resource: OtlpAttributes;
  readonly scope: { readonly name: string; readonly version: string };
}

/** What a Collector is sent: an Export request of spans, or of log records, that are written already. Both have the same form. */
export function createExportRequest({
  resource,
  scope,
}: ExportOrigin): (batch: readonly WrittenRecords[]) => Uint8Array {
  const head = new ProtoWriter();
  const resourceStart = head.start(1);
  writeAttributes(head, 1, resource);
  head.finish(resourceStart);
  const resourceBytes = head.take();
  const scoped = new ProtoWriter();
  const scopeStart = scoped.start(1);
  scoped.text(1, scope.name);
  scoped.text(2, scope.version);
  scoped.finish(scopeStart);
  const scopeBytes = scoped.take();
  return (batch) => {
    let scopedLength = scopeBytes.length;
    for (const { bytes } of batch) scopedLength += bytes.length;
    const originLength = resourceBytes.length + 1 + sizeOfVarint(scopedLength) + scopedLength;
    // A length that is known beforehand need not be made room for afterwards.
    const writer = new ProtoWriter(originLength + 40);
    writer.message(1, originLength);
    writer.raw(resourceBytes);
    writer.message(2, scopedLength);
    writer.raw(scopeBytes);
    for (const { bytes } of batch) writer.raw(bytes);
    return writer.take();
  };
}
