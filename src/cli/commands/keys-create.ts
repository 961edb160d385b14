import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { CreateApiKeyResponseSchema } from "../../../gen/retake/v1/api_key_pb.js";
import { durationFromMs } from "../../runs/index.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow } from "../find-workflow.ts";
import { parseAccessLevel } from "../parse-access-level.ts";
import { parseDuration } from "../parse-time.ts";
import { showNewKey } from "../show-new-key.ts";

export const keysCreate: Command = {
  description: [
    "Makes an API key, and prints it: this once, because the server keeps only a digest. Send it as `authorization: Bearer KEY`",
    "or `x-api-key: KEY`; `retake` takes it from RETAKE_API_KEY.",
  ].join(" "),
  positionals: [{ name: "SUBJECT", description: "whose it is: runs belong to it, and the audit log names it" }],
  flags: {
    level: { value: "LEVEL", description: "authenticated (the default), privileged or admin; no more than your own" },
    tenant: { value: "TENANT", description: "Whose tenant it is of. Default: yours" },
    group: { value: "GROUP", multiple: true, description: "A group that the subject is in" },
    workflow: {
      value: "WORKFLOW",
      multiple: true,
      description: "Limits it to this workflow, and others that are named; the end of a name does",
    },
    expires: { value: "DURATION", description: "How long it is taken, as in 90d. Default: until it is revoked" },
    label: { value: "TEXT", description: "What it is for" },
  },
  examples: [
    ["retake keys create ana --label laptop --expires 90d", "A key for a person"],
    ["retake keys create render-farm --workflow TextToVideo", "A key for a program that calls one workflow"],
    ["retake keys create ops --level admin > ops.key", "Another admin"],
  ],
  async run(given, io) {
    const level = given.value("level");
    const expires = given.value("expires");
    const request = {
      subject: given.positional("SUBJECT"),
      tenant: given.value("tenant") ?? "",
      groups: [...given.values("group")],
      label: given.value("label") ?? "",
      ...(level === undefined ? {} : { level: parseAccessLevel("--level", level) }),
      ...(expires === undefined ? {} : { ttl: durationFromMs(parseDuration("--expires", expires)) }),
    };
    using connection = await connect(given, io);
    const { retake } = connection;
    const workflows: string[] = [];
    for (const name of given.values("workflow")) workflows.push(await findWorkflow(name, retake, io.signal));
    const made = await retake.client(AdminService).createApiKey({ ...request, workflows }, { signal: io.signal });
    const revoke = connection.commandLine("keys", "revoke", made.apiKey?.keyId ?? "");
    showNewKey(CreateApiKeyResponseSchema, made, { given, io, more: [`Revoke it: ${revoke}`] });
    return ExitCode.ok;
  },
};
