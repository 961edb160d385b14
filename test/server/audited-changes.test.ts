import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { auditedChanges } from "../../src/server/audited-changes.ts";

/** On record where it happens, by names of their own. */
const recordedElsewhere = /^(?:StartRun|(?:Create|Rotate|Revoke)ApiKey|(?:Set|Delete)AccessRule)$/;

const changing = [RunService, AdminService, ArtifactService]
  .flatMap(({ methods }) => methods)
  .filter(({ name, idempotency }) => {
    const reads = idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS || /^List/.test(name);
    return !reads && !recordedElsewhere.test(name);
  });

it.each(changing.map(({ parent, name }) => `${parent.typeName}/${name}`))("%s is on record", (name) => {
  expect(auditedChanges.get(name)?.action).toMatch(/^[a-z_]+\.[a-z_]+$/);
});
