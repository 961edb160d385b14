import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { file_storycore_video_v1_video_service } from "../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { RunSchema } from "../../gen/retake/v1/run_pb.js";
import { bytesOf, contractsFrom, contractsWithoutReflection, withImports } from "./reflecting.ts";

const service = "storycore.video.v1.VideoService";
const files = withImports(file_storycore_video_v1_video_service);

function proto(name: string, dependency: string[] = []) {
  return toBinary(FileDescriptorProtoSchema, create(FileDescriptorProtoSchema, { name, dependency, syntax: "proto3" }));
}

describe("Contracts", () => {
  it("finds a method that it has never seen, with everything that its messages use", async () => {
    const { contracts } = contractsFrom(() => files.map(bytesOf));
    const method = await contracts.method(`${service}/Animatic`);
    expect(method?.input.typeName).toBe("storycore.video.v1.AnimaticRequest");
    expect(method?.methodKind).toBe("server_streaming");
    expect(await contracts.method(`${service}/Nothing`)).toBeUndefined();
    expect(contracts.registry.getMessage("storycore.video.v1.Scene")).toBeDefined();
  });

  it("fetches imports that a server leaves out, one by one", async () => {
    const { contracts, asked } = contractsFrom((request) => {
      const found = files.find(({ proto: { name } }) =>
        request.case === "fileByFilename" ? name === request.value : name === files[0]?.proto.name,
      );
      return found && [bytesOf(found)];
    });
    expect((await contracts.method(`${service}/Animatic`))?.name).toBe("Animatic");
    expect(asked.filter(({ case: kind }) => kind === "fileByFilename")).toHaveLength(files.length - 1);
  });

  it("asks once for what it has, and for what there is not", async () => {
    const { contracts, asked } = contractsFrom((request) =>
      request.case === "fileContainingSymbol" && request.value.startsWith("storycore") ? files.map(bytesOf) : undefined,
    );
    await contracts.learn([service, "a.B", service, "storycore.video.v1.Scene", "a.B", ""]);
    await contracts.learn(["a.B", service]);
    expect(asked.map(({ value }) => value)).toEqual([service, "a.B"]);
    expect(contracts.off).toBe(false);
  });

  it("knows the types of the service itself without asking, and keeps its own", async () => {
    const { contracts, asked } = contractsFrom(() => files.map(bytesOf));
    expect(contracts.registry.getMessage("retake.v1.Run") === RunSchema).toBe(true);
    await contracts.learn([service, "google.rpc.BadRequest"]);
    expect(contracts.registry.getMessage("retake.v1.Run") === RunSchema).toBe(true);
    expect(asked).toHaveLength(1);
  });

  it("finds out once that reflection is off", async () => {
    const contracts = contractsWithoutReflection();
    expect(await contracts.method(`${service}/Animatic`)).toBeUndefined();
    expect(contracts.off).toBe(true);
  });

  it("passes on what else is wrong", async () => {
    const { contracts } = contractsFrom(() => {
      throw new ConnectError("away", Code.Unavailable);
    });
    await expect(contracts.learn(["a.B"])).rejects.toMatchObject({ code: Code.Unavailable });
    expect(contracts.off).toBe(false);
  });

  it.each([
    ["an import that nobody has", () => [proto("a.proto", ["b.proto"])], '"b.proto" is imported, and not told'],
    ["bytes that are no descriptor", () => [new Uint8Array([0xff, 0xff])], "cannot be read"],
    [
      "a name that is none",
      () => [
        toBinary(
          FileDescriptorProtoSchema,
          create(FileDescriptorProtoSchema, { name: "a.proto", syntax: "proto3", messageType: [{ name: "a b" }] }),
        ),
      ],
      "invalid message name",
    ],
  ])("says that the server's contracts cannot be read: %s", async (_, answer, message) => {
    const { contracts } = contractsFrom((asked) => (asked.value === "b.proto" ? undefined : answer()));
    await expect(contracts.learn(["a.B"])).rejects.toThrow(message);
  });

  it("does not hang on files that import each other, or without end", async () => {
    const circular = contractsFrom(() => [proto("a.proto", ["b.proto"]), proto("b.proto", ["a.proto"])]);
    await circular.contracts.learn(["a.B"]).catch(() => undefined);
    let count = 0;
    const endless = contractsFrom(() => [proto(count === 0 ? "0.proto" : `${count}.proto`, [`${++count}.proto`])]);
    await expect(endless.contracts.learn(["a.B"])).rejects.toThrow("is imported, and not told");
  });
});
