import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { GetReportResponseSchema } from "../../../gen/retake/v1/report_pb.js";
import { msFromDuration } from "../../runs/index.ts";
import { principalKey } from "../../security/index.ts";
import type { MonitoringServiceOptions } from "../monitoring-service.ts";

const dayMs = 86_400_000;

/** What the server says about a time. */
export function reportMethods(
  options: MonitoringServiceOptions,
): Pick<ServiceImpl<typeof MonitoringService>, "getReport"> {
  // One after the other: each reads much, and the event loop has other things to do.
  let last: Promise<unknown> = Promise.resolve();
  return {
    async getReport({ window, sections }, { signal, values }) {
      const make = async () => {
        signal.throwIfAborted();
        // Many modules, for what is asked for now and then.
        const { makeReport } = await import("./make-report.ts");
        const windowMs = window === undefined ? dayMs : msFromDuration(window);
        return makeReport(options, { principal: values.get(principalKey), windowMs, sections, signal });
      };
      const made = last.then(make);
      last = made.catch(() => undefined);
      return create(GetReportResponseSchema, { report: await made });
    },
  };
}
