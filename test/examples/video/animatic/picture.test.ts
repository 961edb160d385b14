import { describe, expect, it } from "vitest";
import { drawOver, mix, type Pixels } from "../../../../examples/video/animatic/picture.ts";
import { flat } from "./support.ts";

describe("drawOver", () => {
  it("blends by the layer's alpha, where the layer lies and nowhere else", () => {
    const base = flat(4, 2, [100, 0, 200]);
    const layer: Pixels = {
      data: Uint8Array.from([0, 255, 0, 255, 0, 255, 0, 0]),
      width: 2,
      height: 1,
      channels: 4,
    };
    drawOver(base, layer, 1, 1);
    const half: Pixels = { data: Uint8Array.from([200, 100, 0, 128]), width: 1, height: 1, channels: 4 };
    drawOver(base, half, 3, 0);
    const at = (x: number, y: number) => [...base.data.subarray((y * 4 + x) * 3, (y * 4 + x) * 3 + 3)];
    expect(at(1, 1)).toEqual([0, 255, 0]);
    expect(at(2, 1)).toEqual([100, 0, 200]);
    expect(at(3, 0)).toEqual([150, 50, 100]);
    expect([at(0, 0), at(1, 0), at(2, 0), at(0, 1), at(3, 1)]).toEqual(Array(5).fill([100, 0, 200]));
  });
});

describe("mix", () => {
  it("goes from the first picture to the second", () => {
    const [first, second] = [flat(2, 1, [0, 255, 100]), flat(2, 1, [255, 0, 101])];
    expect([...mix(first, second, 0).data]).toEqual([...first.data]);
    expect([...mix(first, second, 1).data]).toEqual([...second.data]);
    expect([...mix(first, second, 0.5).data.subarray(0, 2)]).toEqual([128, 128]);
    expect([...first.data.subarray(0, 3)]).toEqual([0, 255, 100]);
  });
});
