import { describe, expect, it } from "vitest";
import { readGrpcStatus } from "../../bench/grpc-status.ts";

/** A header that is not in any table. */
function literal(name: string, value: string, first = 0x00): Buffer {
  return Buffer.concat([
    Buffer.from([first, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}

describe("readGrpcStatus", () => {
  it("finds it after other headers", () => {
    const block = Buffer.concat([
      Buffer.from([0x20, 0x88]),
      literal("retake-run-id", "grpc-status"),
      // content-type by its number in the static table, in the prefix and the byte after it.
      Buffer.concat([Buffer.from([0x0f, 0x10, 16]), Buffer.from("application/grpc")]),
      literal("grpc-status", "14", 0x10),
    ]);
    expect(readGrpcStatus(block)).toBe("14");
  });

  it("finds it with a compressed name, as servers write it", () => {
    const block = Buffer.concat([
      Buffer.from("0088", "hex"),
      Buffer.from("9acac8b21234da8f", "hex"),
      literal("", "0").subarray(2),
    ]);
    expect(readGrpcStatus(block)).toBe("0");
  });

  it("reads past values longer than a byte can say", () => {
    const value = "x".repeat(300);
    const long = Buffer.concat([
      Buffer.from([0x40, 1]),
      Buffer.from("a"),
      Buffer.from([0x7f, 0xad, 0x01]),
      Buffer.from(value),
    ]);
    expect(readGrpcStatus(Buffer.concat([long, literal("grpc-status", "5", 0x40)]))).toBe("5");
  });

  it("is undefined without one", () => {
    expect(
      readGrpcStatus(Buffer.concat([Buffer.from([0x88]), literal("grpc-message", "grpc-status")])),
    ).toBeUndefined();
    expect(readGrpcStatus(Buffer.alloc(0))).toBeUndefined();
  });

  it("refuses a block that needs the dynamic table", () => {
    expect(() => readGrpcStatus(Buffer.from([0x80 | 62]))).toThrow("dynamic table");
  });

  it("refuses a block that ends too early", () => {
    expect(() => readGrpcStatus(Buffer.from([0xff]))).toThrow("in the middle of a field");
    expect(() => readGrpcStatus(literal("a", "b").subarray(0, 3))).toThrow("in the middle of a field");
  });
});
