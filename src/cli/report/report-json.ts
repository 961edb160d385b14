import { clone, toJson } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Report, ReportSchema } from "../../../gen/retake/v1/report_pb.js";

/** A report in the JSON of protobuf: fields as the contract has them, maps by key, so that two reports can be compared. */
export function reportJson(report: Report): string {
  const copy = clone(ReportSchema, report);
  sortMaps(reflect(ReportSchema, copy));
  return `${JSON.stringify(toJson(ReportSchema, copy), undefined, 2)}\n`;
}

function sortMaps(message: ReflectMessage): void {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    if (field.fieldKind === "map") {
      const map = message.get(field);
      const entries = [...map].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
      map.clear();
      for (const [key, value] of entries) map.set(key, value);
    } else if (field.fieldKind === "message") {
      sortMaps(message.get(field));
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of message.get(field)) sortMaps(item as ReflectMessage);
    }
  }
}
