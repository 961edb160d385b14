import { toJson } from "@bufbuild/protobuf";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { type ApiKey, ApiKeySchema } from "../../../gen/retake/v1/api_key_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { apiKeyEnd, apiKeyState, apiKeyUse } from "../display/api-key-text.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";

export const keysList: Command = {
  description: "Lists API keys: whose they are, what they let do, when they were used last. Never the keys themselves.",
  positionals: [],
  flags: {
    subject: { value: "SUBJECT", description: "Only those of this subject" },
    all: { short: "a", description: "Those that are revoked or expired too" },
  },
  examples: [
    ["retake keys list", "Which keys are taken"],
    ["retake keys list --subject ana --all", "What has become of somebody's keys"],
  ],
  async run(given, io) {
    using connection = await connect(given, io);
    const admin = connection.retake.client(AdminService);
    const filter = { subject: given.value("subject") ?? "", includeEnded: given.has("all"), pageSize: 1000 };
    const found: ApiKey[] = [];
    for (let pageToken = ""; ; ) {
      const page = await admin.listApiKeys({ ...filter, pageToken }, { signal: io.signal });
      found.push(...page.apiKeys);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    if (given.has("json")) {
      for (const key of found) writeLines(io.stdout, JSON.stringify(toJson(ApiKeySchema, key)));
    } else if (found.length === 0) {
      writeLines(io.stderr, "There are no such keys. Make one: retake keys create SUBJECT");
    } else {
      const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
      writeLines(io.stdout, ...tableLines(columns(io.clock.now()), found, width));
    }
    return ExitCode.ok;
  },
};

function columns(nowMs: number): readonly Column<ApiKey>[] {
  return [
    { title: "KEY ID", cell: ({ keyId }) => plainText(keyId) },
    { title: "SUBJECT", cell: ({ subject }) => plainText(subject), keep: "start" },
    { title: "LEVEL", cell: ({ level }) => AccessLevel[level] },
    { title: "STATE", cell: apiKeyState },
    { title: "ENDS", cell: apiKeyEnd, spare: 2 },
    { title: "USED", cell: (key) => apiKeyUse(key, nowMs) },
    { title: "TENANT", cell: ({ tenant }) => plainText(tenant), keep: "start", spare: 3 },
    { title: "LABEL", cell: ({ label }) => plainText(label), keep: "start", spare: 1 },
  ];
}
