import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ServerConfigSchema } from "../../../gen/retake/v1/config_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { openToThisMachine } from "../../../src/cli/dev/local-access.ts";

function opened(init: MessageInitShape<typeof ServerConfigSchema>) {
  const config = create(ServerConfigSchema, init);
  const open = openToThisMachine(config);
  return { open, level: config.security?.anonymousLevel };
}

describe("retake dev", () => {
  it.each([
    {},
    { grpc: { host: "localhost" }, web: { host: "::1" } },
    { grpc: { host: "127.0.0.2" } },
    { grpc: { host: "0.0.0.0", disabled: true } },
    { security: { access: { rules: {} } } },
  ])("makes whoever calls ADMIN where only this machine can: %j", (config) => {
    expect(opened(config)).toEqual({ open: undefined, level: AccessLevel.ADMIN });
  });

  it.each([
    [{ grpc: { host: "0.0.0.0" } }, { front: "grpc", host: "0.0.0.0" }],
    [{ web: { host: "::" } }, { front: "web", host: "::" }],
    [{ web: { host: "studio.example" } }, { front: "web", host: "studio.example" }],
  ])("makes nobody anything where others can call, and says where: %j", (config, open) => {
    expect(opened(config)).toEqual({ open, level: undefined });
  });

  it("leaves what the configuration says of callers without credentials", () => {
    const anonymousLevel = AccessLevel.AUTHENTICATED;
    expect(opened({ security: { anonymousLevel } })).toEqual({ open: undefined, level: anonymousLevel });
  });
});
