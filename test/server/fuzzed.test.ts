import { expect, it } from "vitest";
import { ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { fuzz } from "../fuzz/fuzz.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { startListening } from "./listening-server.ts";

it("answers no caller's mistake as one of its own, nor shows its inside", async () => {
  const { grpcPort, webPort, log } = await startListening(
    {},
    { config: { grpc: { limits: { maxResetsPerSecond: 1_000_000 } } } },
  );
  const services = [RunService, ArtifactService, WorkflowsService];
  const { failures, statuses } = await fuzz({
    grpcPort,
    webPort,
    services,
    seed: 1,
    count: 600,
    timeoutMs: 20,
    concurrency: 16,
  });
  expect(failures).toEqual([]);
  expect(log.filter(({ level }) => level === "error")).toEqual([]);
  // It has come to the services themselves, too.
  for (const status of ["0", "3", "5", "12", "HTTP 200", "HTTP 400"]) expect(statuses.get(status)).toBeGreaterThan(0);
});
