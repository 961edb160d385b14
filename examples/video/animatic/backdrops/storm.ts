import { canvas, type Dice, paperBoat, radialGradient, ridge, tenths, verticalGradient, wash } from "./brush.ts";

/** Rain, lightning, and waves that are far too high for paper. */
export function storm(dice: Dice): { defs: string; layers: string } {
  return {
    defs:
      verticalGradient("sky", [
        [0, "#121a2b"],
        [0.5, "#2c3d52"],
        [0.75, "#5d7280"],
      ]) +
      radialGradient("cloud", [
        [0, "#0b111e", 0.9],
        [0.6, "#0f1728", 0.5],
        [1, "#121a2b", 0],
      ]) +
      radialGradient("flash", [
        [0, "#f3f6ff", 0.8],
        [0.4, "#b9c9ee", 0.3],
        [1, "#8ba3cf", 0],
      ]),
    layers: [
      wash("url(#sky)"),
      `<circle cx="1180" cy="250" r="430" fill="url(#flash)"/>`,
      Array.from({ length: 16 }, () => {
        const rx = 180 + dice() * 220;
        return `<ellipse cx="${tenths(dice() * canvas.width)}" cy="${tenths(dice() * 190)}" rx="${tenths(rx)}" ry="${tenths(rx * 0.32)}" fill="url(#cloud)"/>`;
      }).join(""),
      `<path d="M1196 130L1142 292L1190 286L1150 420L1248 252L1196 260L1238 130Z" fill="#fdf6d0"/>`,
      ridge(dice, { y: 500, height: 44, waves: 1.9, fill: "#3a5566" }),
      ridge(dice, { y: 585, height: 70, waves: 1.4, fill: "#2a4558" }),
      paperBoat(640, 612, 200, -17, { sail: "#f2efe6", sailShade: "#b9bdc2", hull: "#e3e0d8", hullShade: "#9da5ad" }),
      ridge(dice, { y: 672, height: 62, waves: 1.6, fill: "#1d3547" }),
      ridge(dice, { y: 800, height: 50, waves: 2.1, fill: "#122537" }),
      rain(dice),
    ].join(""),
  };
}

function rain(dice: Dice): string {
  let path = "";
  for (let drop = 0; drop < 240; drop++) {
    const length = 26 + dice() * 40;
    path += `M${tenths(dice() * (canvas.width + 200) - 100)} ${tenths(dice() * canvas.height)}l${tenths(-length * 0.34)} ${tenths(length)}`;
  }
  return `<path d="${path}" stroke="#c9d8e6" stroke-opacity="0.26" stroke-width="2" stroke-linecap="round"/>`;
}
