import { expect, it } from "vitest";
import { showBytes } from "../../../src/cli/display/byte-size.ts";

it.each([
  [0, "0 bytes"],
  [1, "1 byte"],
  [1023, "1023 bytes"],
  [1024, "1.0 KiB"],
  [1434, "1.4 KiB"],
  [10 * 1024, "10 KiB"],
  [1023 * 1024, "1.0 MiB"],
  [23 * 1024 ** 2, "23 MiB"],
  [4 * 1024 ** 3, "4.0 GiB"],
  [5000 * 1024 ** 4, "5000 TiB"],
])("shows %i bytes as %s", (bytes, text) => {
  expect(showBytes(bytes)).toBe(text);
});
