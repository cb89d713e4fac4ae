/** An `Io` that remembers, a clock that ticks when looked at, and small files to run commands on. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Io } from "../../src/cli/io.js";
import { main } from "../../src/cli/program.js";

export interface TestIo extends Io {
  readonly out: () => string;
  readonly err: () => string;
  /** Aborts as SIGINT would. */
  readonly interrupt: () => void;
}

export interface TestIoOptions {
  readonly color?: boolean;
  readonly isTTY?: boolean;
  /** Milliseconds the clock advances per look. @default 1 */
  readonly tick?: number;
  /** Called with everything written to stderr. */
  readonly onErr?: (text: string, io: TestIo) => void;
}

export function testIo({ color = false, isTTY = false, tick = 1, onErr }: TestIoOptions = {}): TestIo {
  const [out, err]: [string[], string[]] = [[], []];
  const controller = new AbortController();
  let time = Date.UTC(2026, 0, 1);
  const io: TestIo = {
    stdout: { write: (text: string) => out.push(text) },
    stderr: {
      write(text: string) {
        err.push(text);
        onErr?.(text, io);
      },
    },
    color,
    isTTY,
    now: () => (time += tick),
    signal: controller.signal,
    out: () => out.join(""),
    err: () => err.join(""),
    interrupt: () => controller.abort(new Error("interrupted")),
  };
  return io;
}

/** A command line and what it wrote. */
export async function cli(
  line: readonly string[],
  options: TestIoOptions = {},
): Promise<{ code: number; out: string; err: string }> {
  const io = testIo(options);
  const code = await main(line, io);
  return { code, out: io.out(), err: io.err() };
}

/** A folder that goes when the tests are over. */
export function scratch(): { readonly path: (...parts: string[]) => string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "early-exits-"));
  return { path: (...parts) => join(folder, ...parts), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

const WORDS = ["the house", "a river", "our union", "the winter", "one people", "this land"];
const VERBS = ["holds", "follows", "remembers", "leaves"];

/** Documents of simple sentences, the same every time. */
export function sentences(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) =>
    Array.from({ length: 6 }, (_unused, j) => {
      const n = (from + i) * 7 + j * 3;
      return `${WORDS[n % 6]!} ${VERBS[(n >> 1) % 4]!} ${WORDS[(n + 2) % 6]!}.`;
    }).join(" "),
  );
}

export function writeText(path: string, documents: readonly string[]): string {
  writeFileSync(path, documents.join("\n\n"));
  return path;
}

/** Options of a model that trains in a second. */
export const tinyModel = [
  "--layers",
  "3",
  "--hidden",
  "16",
  "--heads",
  "2",
  "--kv-heads",
  "1",
  "--intermediate",
  "32",
  "--context",
  "64",
  "--vocab",
  "280",
  "--batch",
  "4",
  "--sequence",
  "32",
  "--validate-every",
  "10",
  "--device",
  "reference",
];
