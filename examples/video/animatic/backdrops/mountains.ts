import {
  type Dice,
  fir,
  glowingDisc,
  gulls,
  paperBoat,
  radialGradient,
  ridge,
  verticalGradient,
  wash,
} from "./brush.ts";

/** Sunrise behind blue mountains, a lake at their feet, a boat that has arrived. */
export function mountains(dice: Dice): { defs: string; layers: string } {
  return {
    defs:
      verticalGradient("sky", [
        [0, "#5b9fcb"],
        [0.4, "#b8dbe0"],
        [0.66, "#ffe2bd"],
      ]) +
      radialGradient("glow", [
        [0, "#fffdf0", 0.95],
        [0.3, "#fff0c4", 0.5],
        [1, "#ffe3b0", 0],
      ]) +
      verticalGradient("lake", [
        [0, "#f3dcbb"],
        [0.35, "#a5cdd0"],
        [1, "#4f93a8"],
      ]) +
      verticalGradient("mist", [
        [0, "#fff3de", 0],
        [0.5, "#fff3de", 0.65],
        [1, "#fff3de", 0],
      ]),
    layers: [
      wash("url(#sky)"),
      glowingDisc(900, 350, 70, "#fffdf2", "url(#glow)", 5.6),
      peaks(dice, 455, 190, "#a9bfd2"),
      peaks(dice, 490, 130, "#7f9fbb"),
      ridge(dice, { y: 530, height: 34, waves: 1.5, fill: "#5f8a9a" }),
      `<rect x="0" y="470" width="1600" height="130" fill="url(#mist)"/>`,
      wash("url(#lake)", 580),
      `<path d="M0 600Q330 602 570 624Q330 640 0 654Z M1600 602Q1380 604 1180 626Q1380 646 1600 660Z" fill="#2f5d5b"/>`,
      Array.from({ length: 26 }, (_, index) =>
        fir(-20 + index * 22 + dice() * 14, 612 + dice() * 16, 70 + dice() * 90, "#3b6d6b"),
      ).join(""),
      Array.from({ length: 20 }, (_, index) =>
        fir(1210 + index * 22 + dice() * 12, 618 + dice() * 18, 76 + dice() * 104, "#33625f"),
      ).join(""),
      gulls(
        [
          [620, 300, 18],
          [676, 276, 14],
          [730, 306, 12],
        ],
        "#476f86",
      ),
      paperBoat(760, 690, 190, 3, { sail: "#fffdf6", sailShade: "#e6d9c6", hull: "#fcf4e6", hullShade: "#cdbfae" }),
      `<ellipse cx="760" cy="694" rx="120" ry="7" fill="#3d8297" fill-opacity="0.55"/>`,
      `<path d="M0 900V762Q240 712 520 776Q760 832 1010 796Q1300 752 1600 792V900Z" fill="#2f5d4e"/>`,
      grass(dice),
    ].join(""),
  };
}

function peaks(dice: Dice, base: number, height: number, fill: string): string {
  let path = "M-40 900";
  for (let x = -40; x <= 1640; x += 120) {
    path += `L${x} ${(base - height * (0.15 + 0.35 * dice())).toFixed(1)}L${(x + 60).toFixed(1)} ${(base - height * (0.55 + 0.45 * dice())).toFixed(1)}`;
  }
  return `<path d="${path}L1700 900Z" fill="${fill}"/>`;
}

function grass(dice: Dice): string {
  let path = "";
  for (let blade = 0; blade < 150; blade++) {
    const x = dice() * 1600;
    const height = 16 + dice() * 30;
    path += `M${x.toFixed(1)} 905Q${x.toFixed(1)} ${(860 - height * 0.4).toFixed(1)} ${(x + (dice() - 0.5) * 26).toFixed(1)} ${(836 - height).toFixed(1)}`;
  }
  return `<path d="${path}" fill="none" stroke="#244a3e" stroke-width="4" stroke-linecap="round"/>`;
}
