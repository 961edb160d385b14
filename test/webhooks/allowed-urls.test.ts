import { describe, expect, it } from "vitest";
import { isAllowedUrl } from "../../src/webhooks/allowed-urls.ts";

describe("isAllowedUrl", () => {
  it.each([
    ["https://hooks.example/retake", ["https://hooks.example/"]],
    ["https://hooks.example/retake?run=1", ["https://hooks.example"]],
    ["https://HOOKS.example:443/retake", ["https://hooks.example/retake"]],
    ["https://hooks.example/retake/a", ["https://other.example/", "https://hooks.example/retake"]],
    ["http://127.0.0.1:80/x", ["http://127.0.0.1/"]],
  ])("allows %s under %j", (url, allowed) => {
    expect(isAllowedUrl(url, allowed)).toBe(true);
  });

  it.each([
    ["https://hooks.example/retake", []],
    ["http://hooks.example/retake", ["https://hooks.example/"]],
    ["https://hooks.example:8443/retake", ["https://hooks.example/"]],
    ["https://hooks.example.evil.example/retake", ["https://hooks.example/"]],
    ["https://hooks.example@evil.example/retake", ["https://hooks.example/"]],
    ["https://hooks.example/retakes", ["https://hooks.example/retake"]],
    ["https://hooks.example/retake/../admin", ["https://hooks.example/retake/"]],
    ["https://hooks.example/retake/%2e%2e/admin", ["https://hooks.example/retake/"]],
    ["no URL", ["https://hooks.example/"]],
  ])("refuses %s under %j", (url, allowed) => {
    expect(isAllowedUrl(url, allowed)).toBe(false);
  });
});
