// Plays a disk that loses what it was asked to keep: while there is a file "losing" beside the log, a sync fails, and the
// log's last page is then zeros.
import { existsSync, fstatSync, readlinkSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";

export async function sync(file: number): Promise<void> {
  const path = readlinkSync(`/proc/self/fd/${file}`);
  if (existsSync(join(dirname(path), "losing"))) {
    const { size } = fstatSync(file);
    writeSync(file, Buffer.alloc(4096), 0, 4096, size - 4096);
    throw new Error("the disk has lost a page");
  }
}
