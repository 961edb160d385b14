import { describe, expect, it } from "vitest";
import { sourceOf } from "../../src/security/index.ts";

describe("sourceOf", () => {
  it.each([
    ["10.1.2.3:4567", "10.1.2.3"],
    ["::ffff:10.1.2.3:4567", "10.1.2.3"],
    ["2001:db8:1:2:3:4:5:6:4567", "2001:db8:1:2::/64"],
    ["2001:DB8:1:2::6:4567", "2001:db8:1:2::/64"],
    ["[2001:db8:1:2::6]:4567", "2001:db8:1:2::/64"],
    ["2001:db8::1:4567", "2001:db8:0:0::/64"],
    ["::1:4567", "0:0:0:0::/64"],
    ["fe80::1%eth0:4567", "fe80:0:0:0::/64"],
    ["unknown", "unknown"],
    ["", ""],
  ])("%s is %s", (address, source) => {
    expect(sourceOf(address)).toBe(source);
  });
});
