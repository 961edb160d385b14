import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { Metadata, status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { errorFromStatus, statusFromThrown } from "../../src/transport/status.ts";
import { TransportErrorDetailSchema } from "../gen/retake/test/v1/transport_pb.js";

const roomy = 1_000_000;

describe("an error on its way out", () => {
  test("survives the way there and back", () => {
    const thrown = new ConnectError("why", Code.OutOfRange, { "x-a": "1" }, [
      { desc: TransportErrorDetailSchema, value: { reason: "r" } },
    ]);
    const error = errorFromStatus(statusFromThrown(thrown, [new Headers({ "x-b": "2" })], roomy));
    expect([error.code, error.rawMessage]).toEqual([Code.OutOfRange, "why"]);
    expect(error.findDetails(TransportErrorDetailSchema)[0]?.reason).toBe("r");
    expect([error.metadata.get("x-a"), error.metadata.get("x-b")]).toEqual(["1", "2"]);
    expect(error.isWireError).toBe(true);
  });

  test.each([
    ["a detail of the server's own", "why", [{ desc: TransportErrorDetailSchema, value: { reason: "r" } }]],
    ["one without contents", "why", [{ desc: TransportErrorDetailSchema, value: {} }]],
    ["no message", "", [{ desc: TransportErrorDetailSchema, value: { reason: "r" } }]],
    ["a message in another script", "なぜ 🌅", [{ type: "a.B", value: new Uint8Array([8, 1]) }]],
    [
      "several details",
      "why",
      [
        { type: "a.B", value: new Uint8Array() },
        { desc: TransportErrorDetailSchema, value: {} },
      ],
    ],
  ])("has its details as Connect encodes them: %s", (_, message, details) => {
    const thrown = new ConnectError(message, Code.Unavailable);
    thrown.details = details;
    const { metadata } = statusFromThrown(thrown, [], roomy);
    const [encoded] = metadata.get("grpc-status-details-bin");
    const expected = setTrailerStatus(new Headers(), thrown).get("grpc-status-details-bin") ?? "";
    expect(encoded).toEqual(Buffer.from(expected, "base64"));
  });

  test("loses a detail that cannot be encoded, and no other", () => {
    const broken = {
      get reason(): string {
        throw new Error("trap");
      },
    };
    const thrown = new ConnectError("why", Code.Unavailable, undefined, [
      { desc: TransportErrorDetailSchema, value: broken },
      { desc: TransportErrorDetailSchema, value: { reason: "r" } },
    ]);
    const error = errorFromStatus(statusFromThrown(thrown, [], roomy));
    expect(error.details).toHaveLength(1);
    expect(error.findDetails(TransportErrorDetailSchema)[0]?.reason).toBe("r");
  });

  test("loses what does not fit in this order: details, metadata, the end of the message", () => {
    const thrown = new ConnectError("m".repeat(900), Code.Aborted, { "x-a": "a".repeat(500) }, [
      { desc: TransportErrorDetailSchema, value: { reason: "r".repeat(500) } },
    ]);
    const at = (maxBytes: number) => {
      const { details, metadata } = statusFromThrown(thrown, [], maxBytes);
      return [details.length, metadata.get("x-a").length, metadata.get("grpc-status-details-bin").length];
    };
    expect(at(roomy)).toEqual([900, 1, 1]);
    expect(at(2000)).toEqual([900, 1, 0]);
    expect(at(1000)[0]).toBeLessThan(100);
  });

  test.each([
    new Proxy(new ConnectError("x"), {
      get: () => {
        throw new Error("trap");
      },
    }),
    Object.assign(new ConnectError("x"), { metadata: null }),
    Object.assign(new ConnectError("x"), { rawMessage: undefined }),
    Object.create(null),
  ])("never throws, whatever it is (%#)", (thrown) => {
    const converted = statusFromThrown(thrown, [], roomy);
    expect(converted.code).toBeGreaterThan(0);
    expect(converted.metadata).toBeInstanceOf(Metadata);
  });
});

describe("a status on its way in", () => {
  const failed = (details: string, metadata = new Metadata()) => ({ code: status.NOT_FOUND, details, metadata });

  test("whose details cannot be decoded keeps its code and message", () => {
    const metadata = new Metadata();
    metadata.set("grpc-status-details-bin", Buffer.from([255, 255]));
    const error = errorFromStatus(failed("gone", metadata));
    expect([error.code, error.rawMessage, error.details]).toEqual([Code.NotFound, "gone", []]);
  });

  test("that grpc-status and details tell differently goes by grpc-status", () => {
    const { metadata } = statusFromThrown(
      new ConnectError("other", Code.Aborted, undefined, [
        { desc: TransportErrorDetailSchema, value: { reason: "r" } },
      ]),
      [],
      roomy,
    );
    const error = errorFromStatus(failed("gone", metadata));
    expect([error.code, error.rawMessage]).toEqual([Code.NotFound, "gone"]);
    expect(error.findDetails(TransportErrorDetailSchema)).toHaveLength(1);
  });

  test("that grpc-js has half decoded is decoded whole, unless the escapes are the sender's own", () => {
    // decodeURI leaves these escapes, which only encodeURIComponent makes.
    expect(errorFromStatus(failed("a%2Fb%3A c%3F")).rawMessage).toBe("a/b: c?");
    expect(errorFromStatus(failed("GET /a%2Fb")).rawMessage).toBe("GET /a%2Fb");
    expect(errorFromStatus(failed("100 %")).rawMessage).toBe("100 %");
  });

  test("with a code that gRPC does not know is Unknown", () => {
    expect(errorFromStatus({ code: 99 as number, details: "odd", metadata: new Metadata() }).code).toBe(Code.Unknown);
  });
});
