/**
 * The commands in `sh` blocks: every one must exist and have the options that it is given. `npm` scripts are looked up
 * in package.json, the command line of early-exits parses its own commands, scripts and examples must exist and declare
 * the options, and test files must exist.
 */
import { existsSync, readFileSync } from "node:fs";
import { createProgram } from "../../apps/cli/program.js";
import type { Io } from "../../apps/cli/io.js";

/** The commands of a block, without comments, as words. */
export function commandsOf(code: string): string[][] {
  return code
    .replaceAll("\\\n", " ")
    .split("\n")
    .flatMap((line) => line.replace(/(^|\s)#.*/, "").split("&&"))
    .map((command) =>
      Array.from(
        command.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g),
        ([, double, single, plain]) => double ?? single ?? plain!,
      ),
    )
    .filter((words) => words.length > 0);
}

/** Throws if a command does not exist or does not accept its arguments. */
export async function checkCommand(words: readonly string[]): Promise<void> {
  const [first, ...rest] = words;
  const fail = (problem: string): never => {
    throw new Error(`${words.join(" ")}: ${problem}`);
  };
  if (first !== undefined && /^[A-Z_]+=/.test(first)) return checkCommand(rest);
  const [second, ...after] = rest;
  switch (first) {
    case "npm": {
      if (second === "ci" || second === "install") return;
      const name = second === "run" ? after[0]! : second!;
      const script = scripts[name] ?? fail(`package.json has no script ${name}`);
      const dashes = rest.indexOf("--");
      const file = /(?:tsx|node) (\S+)/.exec(script)?.[1];
      if (dashes >= 0 && file !== undefined) checkOptions(file, rest.slice(dashes + 1), fail);
      return;
    }
    case "npx":
      if (second === "early-exits") await checkCommandLine(after, fail);
      else if (second === "tsx") checkOptions(after[0]!, after.slice(1), fail);
      else if (second === "vitest") checkOptions(after[1] ?? fail("no test file"), [], fail);
      else fail("npx is checked for early-exits, tsx and vitest only");
      return;
    case "node":
      checkOptions(second!, after, fail);
      return;
    case "git":
      return;
    default:
      return fail("this kind of command cannot be checked");
  }
}

const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>;
};

/** A script declares its options in its source, for parseArgs. */
function checkOptions(file: string, args: readonly string[], fail: (problem: string) => never): void {
  if (!existsSync(file)) fail(`${file} does not exist`);
  const source = readFileSync(file, "utf8");
  for (const option of args.filter((arg) => arg.startsWith("--"))) {
    if (!new RegExp(`\\b"?${option.slice(2).split("=")[0]!}"?: \\{ type:`).test(source)) {
      fail(`${file} has no option ${option}`);
    }
  }
}

/** Parses a command of early-exits without running it. */
async function checkCommandLine(args: readonly string[], fail: (problem: string) => never): Promise<void> {
  const printed: string[] = [];
  const sink = { write: (text: string) => printed.push(text) };
  const io: Io = {
    stdout: sink,
    stderr: sink,
    isTTY: false,
    color: false,
    now: () => 0,
    signal: new AbortController().signal,
    readInput: () => fail("it was run, not only parsed"),
    openDialog: () => fail("it was run, not only parsed"),
  };
  await createProgram(io, () => Promise.resolve())
    .parseAsync(args, { from: "user" })
    .catch(() => fail(printed.join("")));
}
