import { JournalUnavailableError } from "../../../src/runs/ports/journal.ts";
import { IllegalEventError } from "../../../src/runs/run-record.ts";
import { RefusedAppendError } from "../world/slow-storage.ts";
import { assert, type Invariant } from "../world/witness.ts";

/** What a back-end throws is no fault of the server. */
const ofHandlers = /^an attempt failed/;
/** It is asked for. */
const ofDrills = /^a drill ends the process/;

export const log: Invariant = {
  name: "the server logs no fault of its own",
  witness: () => ({
    logged(fields, message) {
      const error = "err" in fields ? fields.err : undefined;
      const isOfHandler = ofHandlers.test(message) && !(error instanceof IllegalEventError);
      const isOfDisk = error instanceof JournalUnavailableError || error instanceof RefusedAppendError;
      const reason = error instanceof Error ? `: ${error.stack}` : "";
      assert(isOfDisk || isOfHandler || ofDrills.test(message), `the server's log says "${message}"${reason}`);
    },
  }),
};
