import { create, toBinary } from "@bufbuild/protobuf";
import { AuditLogBegunSchema } from "../../gen/retake/v1/storage_pb.js";
import type { Clock } from "../clock.ts";
import { type Journal, timestampFromMs } from "../runs/index.ts";

const stream = "audit-log";

/** Whether the journal says that there is an audit log. */
export async function isAuditNoted(journal: Pick<Journal, "read">): Promise<boolean> {
  return (await journal.read(stream, 0, 1)).length > 0;
}

/** Says so from now on. */
export async function noteAudit(journal: Pick<Journal, "append">, clock: Clock): Promise<void> {
  const record = create(AuditLogBegunSchema, { time: timestampFromMs(clock.now()) });
  await journal.append([{ stream, expectedSequence: 0, records: [toBinary(AuditLogBegunSchema, record)] }]);
}
