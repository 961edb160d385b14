import type { Flags } from "./command.ts";
import { configFlag } from "./config-flag.ts";

/** For every command. */
export const commonFlags: Flags = {
  json: { description: "Print protobuf JSON, one object a line" },
  help: { short: "h", description: "Show help" },
};

/** For every command that talks to a server. */
export const connectionFlags: Flags = {
  target: {
    value: "HOST:PORT",
    description: "The server. Default: $RETAKE_TARGET, else 127.0.0.1:50051",
  },
  "api-key": {
    value: "KEY",
    description: "Sent as a bearer token. Default: $RETAKE_API_KEY, else this machine's admin.key for a server on it",
  },
  config: { ...configFlag, description: "Where that server's data directory is said. Default: retake.yaml" },
  tls: { description: "Use TLS, and trust the authorities that Node trusts. Default: $RETAKE_TLS" },
  ca: { value: "FILE", description: "Use TLS, and trust the authorities in this PEM file. Default: $RETAKE_CA" },
  "plaintext-api-key": { description: "Send the API key to another machine without TLS" },
};

/** Only without a command. */
export const rootFlags: Flags = {
  help: { short: "h", description: "Show help" },
  version: { short: "V", description: "Show the version" },
};
