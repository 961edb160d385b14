import { formatSecret } from "../../webhooks/index.ts";
import type { Command } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";

/** As long as the digest that it makes. */
const secretBytes = 32;

export const webhookSecret: Command = {
  description: [
    "Makes a secret that signs webhooks, and prints it. Put it into a file or an environment variable that the",
    "configuration names (webhooks.secrets), and give it to those who check the signatures.",
  ].join(" "),
  local: true,
  positionals: [],
  flags: {},
  examples: [["retake webhook secret > /etc/retake/webhook-secret", "Keep it in a file"]],
  async run(given, io) {
    const bytes = new Uint8Array(secretBytes);
    io.random.fill(bytes);
    const secret = formatSecret(bytes);
    writeLines(io.stdout, given.has("json") ? JSON.stringify({ secret }) : secret);
    return ExitCode.ok;
  },
};
