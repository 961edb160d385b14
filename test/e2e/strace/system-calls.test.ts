import { describe, expect, it } from "vitest";
import { parseSystemCalls } from "./system-calls.ts";

describe("parseSystemCalls", () => {
  it("reads descriptors, bytes, numbers and results", () => {
    const [call] = parseSystemCalls(
      String.raw`15020 pwrite64(21</tmp/x-wal>, "\0\1AB\"\\\n\3770\0001", 12, 4096) = 12`,
    );
    expect(call).toMatchObject({
      thread: 15020,
      name: "pwrite64",
      file: "/tmp/x-wal",
      numbers: [12, 4096],
      result: 12,
    });
    expect([...(call?.data ?? [])]).toEqual([0, 1, 65, 66, 34, 92, 10, 255, 48, 0, 49]);
  });

  it("joins the buffers of a writev, and knows sockets", () => {
    const [call] = parseSystemCalls(
      '7 writev(25<TCP:[127.0.0.1:42843->127.0.0.1:49252]>, [{iov_base="hello", iov_len=5}, {iov_base=") = 3", iov_len=5}], 2) = 10',
    );
    expect(call).toMatchObject({ file: "TCP:[127.0.0.1:42843->127.0.0.1:49252]", result: 10 });
    expect(call?.data.toString()).toBe("hello) = 3");
  });

  it("puts interrupted calls together, with the lines of their beginning and their end", () => {
    const calls = parseSystemCalls(
      [
        "30 fdatasync(21</x-wal> <unfinished ...>",
        '20 write(6</marks>, "a", 1) = 1',
        "20 --- SIGTERM {si_signo=SIGTERM} ---",
        "30 <... fdatasync resumed>)           = -1 EIO (Input/output error) (INJECTED)",
        "30 fdatasync(21</x-wal> <unfinished ...>",
        "30 +++ killed by SIGKILL +++",
        "",
      ].join("\n"),
    );
    expect(calls).toMatchObject([
      { name: "fdatasync", began: 0, ended: 3, result: -1 },
      { name: "write", began: 1, ended: 1, result: 1 },
      { name: "fdatasync", began: 4, ended: Number.POSITIVE_INFINITY, result: undefined },
    ]);
  });

  it("refuses what it does not understand, and data that is not whole", () => {
    expect(() => parseSystemCalls("something else")).toThrow(/without a thread/);
    expect(() => parseSystemCalls("1 <... write resumed>) = 1")).toThrow(/has not begun/);
    expect(() => parseSystemCalls('1 write(6</x>, "ab"..., 9) = 9')).toThrow(/larger -s/);
    expect(() => parseSystemCalls(String.raw`1 write(6</x>, "\q", 1) = 1`)).toThrow(/escape/);
  });
});
