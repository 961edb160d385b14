import { expect, it } from "vitest";
import { callLines } from "../../../../examples/video/demo/call-lines.ts";

const called = {
  grpc: { host: "127.0.0.1", port: 50051 },
  web: { host: "127.0.0.1", port: 8080 },
  storyboard: "examples/video/storyboard.json",
  runId: "0193",
  artifactId: "0123456789abcdef0123456789abcdef",
};

it("names the server's real addresses, on lines that fit a terminal", () => {
  const lines = callLines(called);
  expect(lines).toContain("grpcurl -plaintext -d @ 127.0.0.1:50051 \\");
  expect(lines.filter((line) => line.includes("http://127.0.0.1:8080/retake.v1.RunService/"))).toHaveLength(2);
  expect(lines).toContain(`  -d '{"runId": "0193"}'`);
  expect(lines).toContain("curl -s http://127.0.0.1:8080/artifacts/0123456789abcdef0123456789abcdef \\");
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(79);
});

it("writes IPv6 addresses and odd paths so that shells and URLs understand them", () => {
  const address = { host: "::1", port: 8080 };
  const lines = callLines({ ...called, grpc: address, web: address, storyboard: "my boat's story.json" }).join("\n");
  expect(lines).toContain("-d @ [::1]:8080");
  expect(lines).toContain("http://[::1]:8080/");
  expect(lines).toContain(String.raw`< 'my boat'\''s story.json' |`);
});
