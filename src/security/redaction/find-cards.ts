/** A stretch of a text. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** Digits, with single blanks or hyphens between them. Nothing in it can match in two ways, so it takes linear time. */
const digitRuns = /\d(?:[ -]?\d){12,}/g;

const lengths = [19, 18, 17, 16, 15, 14, 13];

/** Card numbers: 13 to 19 digits of an issuer's range that pass Luhn's check, grouped or not. */
export function findCards(text: string): Stretch[] {
  const found: Stretch[] = [];
  for (const { 0: run, index } of text.matchAll(digitRuns)) {
    const places: number[] = [];
    for (let at = 0; at < run.length; at++) {
      if (run[at] !== " " && run[at] !== "-") places.push(at);
    }
    const joined = { before: isWord(text[index - 1]), behind: isWord(text[index + run.length]) };
    findWithin(run, places, joined, (start, end) => found.push({ start: index + start, end: index + end }));
  }
  return found;
}

/** Whether letters are next to the first, or the last, of the digits. */
interface Joined {
  readonly before: boolean;
  readonly behind: boolean;
}

/** A number may be followed or preceded by others that are none, so each group of digits may be the first, or the last. */
function findWithin(
  run: string,
  places: readonly number[],
  joined: Joined,
  tell: (start: number, end: number) => void,
): void {
  let first = 0;
  while (first + 13 <= places.length) {
    const length = beginsGroup(places, first, joined)
      ? lengths.find(
          (each) => endsGroup(places, first + each - 1, joined) && isCard(digitsOf(run, places, first, each)),
        )
      : undefined;
    if (length === undefined) {
      first++;
    } else {
      tell(places[first] ?? 0, (places[first + length - 1] ?? 0) + 1);
      first += length;
    }
  }
}

function beginsGroup(places: readonly number[], at: number, { before }: Joined): boolean {
  return at === 0 ? !before : places[at - 1] !== (places[at] ?? 0) - 1;
}

function endsGroup(places: readonly number[], at: number, { behind }: Joined): boolean {
  if (at >= places.length) return false;
  return at === places.length - 1 ? !behind : places[at + 1] !== (places[at] ?? 0) + 1;
}

function digitsOf(run: string, places: readonly number[], first: number, length: number): string {
  let digits = "";
  for (let at = first; at < first + length; at++) digits += run[places[at] ?? 0];
  return digits;
}

/** The ranges of those who issue cards, so that times, sizes and ids are seldom taken for one. */
const issued =
  /^(?:4(?:\d{12}|\d{15}|\d{18})|5[0-9]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[0689]\d{12,14}|35\d{14}|6\d{11,18}|62\d{14,17})$/;

function isCard(digits: string): boolean {
  return issued.test(digits) && passesLuhn(digits);
}

function passesLuhn(digits: string): boolean {
  let sum = 0;
  let double = false;
  for (let at = digits.length - 1; at >= 0; at--) {
    let digit = digits.charCodeAt(at) - 48;
    if (double) {
      digit *= 2;
      if (digit > 9) digit -= 9;
    }
    sum += digit;
    double = !double;
  }
  return sum % 10 === 0;
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && /[A-Za-z0-9_]/.test(character);
}
