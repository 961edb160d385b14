import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Duration, DurationSchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

export interface IllFormedTime {
  /** Where in the message. */
  readonly field: string;
  readonly description: string;
}

/** 0001-01-01T00:00:00Z, and what follows 9999-12-31T23:59:59.999999999Z. */
const firstSecond = -62_135_596_800n;
const endSecond = 253_402_300_800n;
const longestSeconds = 315_576_000_000n;

/** The timestamps and durations of a message that are none, though they can be decoded: no rule can be applied to them. */
export function illFormedTimes(schema: DescMessage, message: Message): readonly IllFormedTime[] {
  const found: IllFormedTime[] = [];
  visit(reflect(schema, message), "", found);
  return found;
}

function visit(message: ReflectMessage, path: string, found: IllFormedTime[]): void {
  const problem = problemOf(message);
  if (problem !== undefined) {
    found.push({ field: path, description: problem });
    return;
  }
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    const at = path === "" ? field.name : `${path}.${field.name}`;
    if (field.fieldKind === "message") {
      visit(message.get(field), at, found);
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const [index, each] of Array.from(message.get(field)).entries()) {
        visit(each as ReflectMessage, `${at}[${index}]`, found);
      }
    } else if (field.fieldKind === "map" && field.mapKind === "message") {
      for (const [key, each] of message.get(field))
        visit(each as ReflectMessage, `${at}[${JSON.stringify(key)}]`, found);
    }
  }
}

function problemOf({ desc, message }: ReflectMessage): string | undefined {
  if (desc.typeName === TimestampSchema.typeName) {
    const { seconds, nanos } = message as Timestamp;
    const isTime = seconds >= firstSecond && seconds < endSecond && nanos >= 0 && nanos < 1e9;
    return isTime ? undefined : "must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z";
  }
  if (desc.typeName === DurationSchema.typeName) {
    const { seconds, nanos } = message as Duration;
    const isDuration =
      seconds >= -longestSeconds &&
      seconds <= longestSeconds &&
      Math.abs(nanos) < 1e9 &&
      (seconds === 0n || nanos === 0 || seconds > 0n === nanos > 0);
    return isDuration ? undefined : "must be a duration of at most 10,000 years, its seconds and nanos of one sign";
  }
  return undefined;
}
