import {
  type Dice,
  glints,
  glowingDisc,
  gulls,
  paperBoat,
  radialGradient,
  ridge,
  verticalGradient,
  wash,
} from "./brush.ts";

/** A calm morning at sea, and a paper boat on it. */
export function sea(dice: Dice): { defs: string; layers: string } {
  const horizon = 500;
  return {
    defs:
      verticalGradient("sky", [
        [0, "#3f86a8"],
        [0.35, "#8cc5c4"],
        [0.62, "#fbe3b5"],
      ]) +
      radialGradient("glow", [
        [0, "#fffbe6", 0.95],
        [0.3, "#fff0c0", 0.5],
        [1, "#ffe6a8", 0],
      ]) +
      radialGradient("cloud", [
        [0, "#fff", 0.75],
        [1, "#fff", 0],
      ]) +
      verticalGradient("water", [
        [0, "#8fc7bd"],
        [0.3, "#3d96a0"],
        [1, "#0f4f6b"],
      ]),
    layers: [
      wash("url(#sky)"),
      glowingDisc(560, 410, 66, "#fffdf0", "url(#glow)", 5.4),
      ...[
        [270, 190, 260, 34],
        [420, 225, 330, 26],
        [1200, 150, 300, 36],
        [1380, 190, 240, 26],
        [1010, 300, 380, 20],
      ].map(([x, y, rx, ry]) => `<ellipse cx="${x}" cy="${y}" rx="${rx}" ry="${ry}" fill="url(#cloud)"/>`),
      gulls(
        [
          [1090, 330, 26],
          [1160, 300, 20],
          [1225, 345, 16],
          [360, 350, 15],
        ],
        "#2c5d73",
      ),
      wash("url(#water)", horizon),
      glints(dice, { x: 560, top: horizon + 6, bottom: 800, spread: 420, count: 60, fill: "#fff6d6" }),
      ridge(dice, { y: 608, height: 9, waves: 5, fill: "#2f8795" }),
      paperBoat(985, 664, 220, -4, { sail: "#fffdf6", sailShade: "#e3ddd2", hull: "#fbf5e9", hullShade: "#cfc8c0" }),
      ridge(dice, { y: 664, height: 13, waves: 3.6, fill: "#21748a" }),
      ridge(dice, { y: 742, height: 18, waves: 2.6, fill: "#175f7b" }),
    ].join(""),
  };
}
