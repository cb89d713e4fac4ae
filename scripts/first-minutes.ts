/**
 * The first minutes of a stranger, recorded: an empty folder, the packed tarball, one GGUF file of a chat model, and
 * six commands: install, train (on text of the model's own), calibrate, generate, chat, serve. Every command must end
 * with what to do next, and all together must take no more than fifteen minutes. The result is certified at 0.90 and at
 * least 1.1 times as fast as plain decoding, or the tool says that it does not pay.
 *   tsx scripts/first-minutes.ts SmolLM2-135M-Instruct.Q4_1.gguf [--out FOLDER]     (after npm run build)
 * Writes first-minutes.md and its JSON, which the README quotes.
 * test/package/first-minutes.test.ts runs a short form on a small model.
 */
import { execFile, spawn } from "node:child_process";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { isMain, reportsFolder } from "../lab/report/script.js";
import { machine } from "../lab/report/machine.js";
import { type Table, writeReport } from "../lab/report/report.js";

/** Extent of the journey; the command line's own defaults where nothing is given. */
export interface JourneyOptions {
  /** Further arguments of train and of calibrate. */
  readonly train?: readonly string[];
  readonly calibrate?: readonly string[];
  /** @default 0.9 */
  readonly agreement?: number;
}

/** A command and what it printed. */
export interface Step {
  readonly command: string;
  readonly seconds: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Journey {
  readonly steps: readonly Step[];
  readonly seconds: number;
  /** Claims of calibrate: its lines that begin with "certified:" and "verdict:". */
  readonly claims: readonly string[];
  /** The last of them. */
  readonly verdict: string;
  /** Speed over plain decoding in that verdict; undefined if the policy never exits. */
  readonly ratio: number | undefined;
  /** The answer of the server to one request. */
  readonly served: string;
}

const root = join(import.meta.dirname, "..");
const PATIENCE = 30 * 60_000; // of one command, in milliseconds

/** Packs dist as it is into a folder and returns the tarball's name. */
async function pack(folder: string): Promise<string> {
  const { stdout } = await promisify(execFile)("npm", ["pack", "--silent", "--pack-destination", folder], {
    cwd: root,
  });
  return stdout.trim();
}

/** Walks the whole way in a new folder, which is removed at the end. Throws if a command fails. */
export async function firstMinutes(model: string, options: JourneyOptions = {}): Promise<Journey> {
  const folder = await mkdtemp(join(tmpdir(), "first-minutes-"));
  try {
    const tarball = await pack(folder);
    await copyFile(model, join(folder, "model.gguf"));
    await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
    return await walk(folder, tarball, options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function walk(
  folder: string,
  tarball: string,
  { train = [], calibrate = [], agreement = 0.9 }: JourneyOptions,
): Promise<Journey> {
  const steps: Step[] = [];
  const run = async (command: string, args: readonly string[], input = ""): Promise<Step> => {
    const step = await execute(folder, command, args, input);
    steps.push(step);
    return step;
  };
  const cli = (...args: readonly string[]): Promise<Step> => run("npx", ["--no-install", "early-exits", ...args]);
  const exits = ["--heads", "heads", "--policy", "policy.json"];

  await run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", `./${tarball}`]);
  await cli("train", "model.gguf", "--self", "--dtype", "int8", "--out", "heads", ...train);
  const level = ["--agreement", String(agreement), "--out", "policy.json"];
  const own = ["--heads", "heads", "--self", "--dtype", "int8"];
  const calibrated = await cli("calibrate", "model.gguf", ...own, ...level, ...calibrate);
  await cli("generate", "model.gguf", ...exits, "--prompt", "The sea is", "--max-new-tokens", "24");
  const chat = ["--no-install", "early-exits", "chat", "model.gguf", ...exits, "--max-new-tokens", "24"];
  await run("npx", chat, "Why is the sky blue?\n");
  const { step, served } = await serve(folder, exits);
  steps.push(step);

  const claims = calibrated.stdout.split("\n").filter((line) => /^(certified|verdict):/.test(line));
  const verdict = claims.at(-1) ?? "";
  const ratio = /([\d.]+)x/.exec(verdict)?.[1];
  const seconds = steps.reduce((sum, one) => sum + one.seconds, 0);
  return { steps, seconds, claims, verdict, ratio: ratio === undefined ? undefined : Number(ratio), served };
}

/** Runs a program to its end. */
async function execute(cwd: string, command: string, args: readonly string[], input: string): Promise<Step> {
  const started = performance.now();
  const promise = promisify(execFile)(command, args, { cwd, timeout: PATIENCE, maxBuffer: 2 ** 26 });
  promise.child.stdin?.end(input);
  const { stdout, stderr } = await promise;
  const seconds = (performance.now() - started) / 1000;
  return { command: [command, ...args].join(" "), seconds, stdout, stderr };
}

/** Starts the server, asks it something, and ends it. */
async function serve(cwd: string, exits: readonly string[]): Promise<{ readonly step: Step; readonly served: string }> {
  const started = performance.now();
  const main = join("node_modules", "early-exits", "dist", "apps", "cli", "main.js");
  const args = [main, "serve", "model.gguf", ...exits, "--port", "0"];
  const child = spawn(process.execPath, args, { cwd });
  let stdout = "";
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const url = new Promise<string>((resolve, reject) => {
    child.stdout.on("data", (data: Buffer) => {
      stdout += data.toString();
      const address = /at (\S+\/v1)/.exec(stdout)?.[1];
      if (address !== undefined) resolve(address);
    });
    child.once("close", () => {
      reject(new Error(`serve ended: ${stderr}`));
    });
  });
  try {
    const response = await fetch(`${await url}/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        model: "model.gguf",
        max_tokens: 16,
        messages: [{ role: "user", content: "Name a colour." }],
      }),
    });
    if (!response.ok) throw new Error(`serve answered ${response.status}: ${await response.text()}`);
    const body = (await response.json()) as { readonly choices: readonly { readonly message: { content: string } }[] };
    const seconds = (performance.now() - started) / 1000;
    return {
      step: { command: ["early-exits", ...args.slice(1)].join(" "), seconds, stdout, stderr },
      served: body.choices[0]!.message.content,
    };
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}

/** Sentences about what the journey should have shown and did not. */
export function shortfalls({ steps, seconds, verdict, ratio }: Journey): string[] {
  const silent = steps.slice(1).filter(({ stdout, stderr }) => !`${stdout}${stderr}`.includes("next:"));
  const pays = verdict.startsWith("verdict: certified") && (ratio ?? 0) >= 1.1;
  const says = /slower|no faster|not certified/.test(verdict);
  return [
    ...silent.map(({ command }) => `says nothing of what comes next: ${command}`),
    ...(seconds > 15 * 60 ? [`took ${Math.round(seconds / 60)} minutes`] : []),
    ...(steps.length > 6 ? [`took ${steps.length} commands`] : []),
    ...(pays || says ? [] : [`neither certified at 1.1 times plain speed nor said that it does not pay: ${verdict}`]),
  ];
}

function stepTable({ steps, seconds, claims }: Journey, model: string): Table {
  return {
    title: "From an empty folder to a server",
    note:
      `The packed tarball and ${basename(model)}; every command with its defaults, as a stranger would type it. ` +
      `What calibrate claims: ${claims.join("; ")}`,
    columns: ["command", "seconds"],
    rows: [...steps.map((step) => [`\`${step.command}\``, step.seconds.toFixed(0)]), ["in all", seconds.toFixed(0)]],
  };
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { out: { type: "string", default: reportsFolder } },
  });
  const [model] = positionals;
  if (model === undefined) throw new Error("usage: tsx scripts/first-minutes.ts MODEL.gguf (a chat model)");
  await readFile(join(root, "dist", "index.js")); // npm run build
  const where = machine();
  const journey = await firstMinutes(model);
  for (const { command, seconds, stdout, stderr } of journey.steps) {
    console.log(`\n$ ${command}   (${seconds.toFixed(0)} s)\n${stdout}${stderr.split("\n").slice(-12).join("\n")}`);
  }
  const { seconds, claims, ratio, verdict } = journey;
  const missed = shortfalls(journey);
  await writeReport(values.out, {
    name: "first-minutes",
    title: "The first minutes",
    machine: where,
    tables: [stepTable(journey, model)],
    data: { seconds, claims, ratio, missed },
  });
  console.log(`\n${(seconds / 60).toFixed(1)} minutes in all. ${verdict}`);
  for (const sentence of missed) console.log(`MISSED: ${sentence}`);
  process.exitCode = missed.length === 0 ? 0 : 1;
}

if (isMain(import.meta.url)) await main();
