/**
 * The tarball in an empty folder: README's program, command line, types, a bundler, a plain page, examples; SmolLM2's
 * exits beside it, for the model in ../shared.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { libraryVersion } from "early-exits";
import { build } from "vite";
import { describe, expect, it } from "vitest";
import { blocksOf } from "../../scripts/pages/blocks.js";
import { sharedPath } from "../support/shared.js";
import { served } from "../support/static-server.js";
import { chromiumHere, withWatchedPage } from "../support/watched-page.js";
import { install, installTarball, root, run } from "./support.js";

const installed = await installTarball();
const browser = await chromiumHere();

const cli = (...args: string[]) => run("npx", ["--no-install", "early-exits", ...args], installed);
/** What the command line says, even if it refuses. */
const said = async (...args: string[]) =>
  (await cli(...args).catch((error: unknown) => error as Awaited<ReturnType<typeof cli>>)).stderr;
const sameBits = "node_modules/early-exits/examples/same-bits.mjs";

/** Serves a folder and opens it; returns the text of #text once it is done. */
async function textOfPage(folder: string) {
  const url = await served(folder);
  let text = "";
  await withWatchedPage(
    browser,
    url,
    async (page) => {
      text = (await page.locator("#text[data-done]").textContent())!;
    },
    { servers: [url], patience: 60_000 },
  );
  return text;
}

describe("the installed package", () => {
  it("contains the embedded model, the licence and the notices, and no tests, sources or maps", async () => {
    const folder = join(installed, "node_modules/early-exits");
    expect((await readdir(folder)).sort()).toEqual([
      "CHANGELOG.md",
      "CONTRIBUTING.md",
      "LICENSE",
      "NOTICE.md",
      "README.md",
      "apps",
      "bench",
      "dist",
      "docs",
      "drivers",
      "examples",
      "models",
      "package.json",
    ]);
    const files = await readdir(join(folder, "dist"), { recursive: true });
    expect(files.filter((file) => !/(\.js|\.d\.ts)$/.test(file) && file.includes("."))).toEqual([]);
    expect(await readdir(join(installed, "node_modules"))).not.toContain("gpu.js");
  });

  it("takes at most 14 MB", async () => {
    const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], root);
    const [{ unpackedSize }] = JSON.parse(stdout) as [{ unpackedSize: number }];
    expect(unpackedSize).toBeLessThanOrEqual(14e6);
  });

  it("says what to install if a package of the server is missing", async () => {
    const hono = join(installed, "node_modules/hono");
    await rename(hono, `${hono}-away`);
    const program = 'import("early-exits/serve").then((it) => it.serveModel()).catch(({ code }) => console.log(code))';
    expect((await run("node", ["--eval", program], installed)).stdout).toBe("serve-packages\n");
    expect(await said("serve", "sotu-12")).toMatch(/^error: serve: .* npm install --include=optional\n$/);
    await rename(`${hono}-away`, hono);
  });

  it("runs early-exits demo on the embedded model", async () => {
    expect((await cli("demo", "--help")).stdout).toContain("Train, calibrate and time the exits of the embedded model");
    const { stdout } = await cli("demo", "--seconds", "2", "--runs", "5");
    expect(stdout).toContain("5. Speed: ");
  });

  it("runs the README's program unchanged, which prints what the README shows", async () => {
    const { program, prints } = await readmeProgram();
    await writeFile(join(installed, "first.mjs"), program);
    expect((await run("node", ["first.mjs"], installed)).stdout).toBe(prints);
  });

  it.each([
    ["nodenext", "nodenext", "typescript"],
    ["bundler", "preserve", "typescript-native"],
  ])(
    "has types that a strict TypeScript program is checked against (module resolution %s, module %s, by %s)",
    async (moduleResolution, module, compiler) => {
      const { program } = await readmeProgram();
      const terms = { lib: ["ES2023", "DOM"], types: ["node"], typeRoots: [join(root, "node_modules/@types")] };
      const report = await typecheck(
        `${program}\nconst wrong: string = run.summary.meanDepth;\n`,
        { ...terms, module, moduleResolution, skipLibCheck: true },
        compiler,
      );
      expect(report).toMatch(
        /^program\.mts\(\d+,7\): error TS2322: Type 'number' is not assignable to type 'string'\.\n$/,
      );
    },
  );

  it("has types that need neither Node's nor, except for early-exits/browser, the DOM's", async () => {
    const subpaths = ["", "/tensor", "/model", "/exits", "/calibrate", "/evaluate", "/serve", "/node"];
    const importing = (names: readonly string[]) =>
      names.map((name, i) => `import * as entry${i} from "early-exits${name}";\nvoid entry${i};\n`).join("");
    const bare = { module: "nodenext", types: [], skipLibCheck: false };
    for (const [entries, lib] of [
      [subpaths, ["ES2023"]],
      [
        [...subpaths, "/browser"],
        ["ES2023", "DOM"],
      ],
    ] as const) {
      expect(await typecheck(importing(entries), { ...bare, lib })).toBe("");
    }
  });

  it("bundles with vite into a page that generates in a worker", async () => {
    const app = join(installed, "app");
    await mkdir(app);
    await writeFile(
      join(app, "index.html"),
      '<!doctype html><link rel="icon" href="data:,"><p id="text"></p><script type="module" src="./main.js"></script>',
    );
    await writeFile(
      join(app, "main.js"),
      `
      const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      worker.onmessage = ({ data }) => {
        document.querySelector("#text").textContent = data;
        document.querySelector("#text").dataset.done = "true";
      };
      worker.postMessage(new URL("models/sotu-12/", location.href).href);`,
    );
    await writeFile(
      join(app, "worker.js"),
      `
      import { generate } from "early-exits";
      import { createDevice, readModel } from "early-exits/browser";
      onmessage = async ({ data: url }) => {
        const model = await readModel(url, { device: await createDevice("wasm") });
        const run = generate(model, "The people", { maxNewTokens: 12 });
        for await (const token of run);
        postMessage(run.summary.ids.length + " tokens:" + run.summary.text);
      };`,
    );
    await build({
      configFile: false,
      logLevel: "error",
      root: app,
      base: "./",
      worker: { format: "es" },
      publicDir: join(installed, "node_modules/early-exits"),
      build: { outDir: "out", copyPublicDir: true },
    });
    expect(await textOfPage(join(app, "out"))).toMatch(/^12 tokens: \w/);
  });

  it("runs on a plain page by import map", async () => {
    await cp(join(installed, "examples/browser/index.html"), join(installed, "index.html"));
    expect(await textOfPage(installed)).toMatch(/^The people of the United States\W+\w/);
  });

  it("computes the bits of same-bits.json in Node, in both builds, and on a plain page", async () => {
    const reports: unknown[] = [];
    for (const build of ["auto", "portable"]) reports.push((await run("node", [sameBits, build], installed)).stdout);
    const url = await served(installed);
    await withWatchedPage(
      browser,
      url,
      async (page) => {
        const imports = { "early-exits/model": "./node_modules/early-exits/dist/model/index.js" };
        await page.addScriptTag({ type: "importmap", content: JSON.stringify({ imports }) });
        reports.push(await page.evaluate(`import("./${sameBits}").then(({ report }) => report)`));
      },
      { servers: [url], patience: 60_000 },
    );
    const builds = reports.map((report) => /kernels (\w+)-.*, (\d+) of \2 hashes/.exec(String(report))?.[1]);
    expect(builds).toEqual(["relaxed", "portable", "relaxed"]);
  });
});

describe("examples", () => {
  const example = async (name: string, ...args: string[]) =>
    (await run("node", [`examples/${name}.mjs`, ...args], installed)).stdout;

  it("quickstart", async () => {
    const out = await example("quickstart", "20");
    expect(out).toMatch(/certified with probability 0.95: agreement 0.9/);
    expect(out).toMatch(/without exits, 12\.00 of 12 blocks:\nThe people of the United States/);
    expect(out).toMatch(/with exits, \d+\.\d\d of 12 blocks/);
  });

  it("train-from-scratch, then your-own-model on what it wrote, then the command line on both", async () => {
    expect(await example("train-from-scratch", "corpus.txt", "scratch-model", "50")).toContain("step 50, loss");
    expect(await example("your-own-model", "scratch-model", "corpus.txt", "scratch-heads", "20")).toMatch(
      /scratch-heads: 3 heads, score entropy/,
    );
    const { stdout } = await cli(
      ...["generate", "scratch-model", "--heads", "scratch-heads", "--policy", "scratch-heads/policy.json"],
      ...["--prompt", "The", "--max-new-tokens", "8"],
    );
    expect(stdout.length).toBeGreaterThan(8);
  });
});

describe("SmolLM2's exits", () => {
  const model = sharedPath("fixtures", "models", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf");
  const used = () => said("generate", model, "--shipped", ".9", "--prompt", "The sea", "--max-new-tokens", "4");
  const command = `npm install early-exits-smollm2@${libraryVersion}`;

  it("are a package that is asked for where it is missing, and found where it is installed", async () => {
    const missing = `which is not installed: ${command}`;
    expect(await used()).toContain(missing);
    expect((await cli("plan", model)).stdout).toMatch(new RegExp(`Q4_1 .*verdict: .*${missing}`, "s"));
    await install(installed, "early-exits-smollm2");
    expect(await used()).toContain("certified to keep 90 % of tokens");
    expect((await cli("plan", model)).stdout).toContain("--shipped 0.95");
    expect((await run("node", [sameBits, model, "int8"], installed)).stdout).toMatch(/, (\d+) of \1 hashes/);
  });

  it.each([
    ["package.json", libraryVersion, "9.9.9", "9.9.9 is installed"],
    ["heads/heads.safetensors", /.$/s, "", "is damaged; delete"],
    ["certificates/90.json", "margin", "maxProb", "is damaged; delete"],
  ])("are refused if in %s %j is replaced by %j", async (name, part, other, says) => {
    const path = join(installed, "node_modules/early-exits-smollm2", name);
    const whole = await readFile(path, "latin1");
    await writeFile(path, whole.replace(part, other), "latin1");
    expect(await used()).toMatch(new RegExp(`error: early-exits-smollm2 .*${says}.* ${command}`));
    await writeFile(path, whole, "latin1");
  });
});

/**
 * Type-checks a strict program beside the installed package; returns what the compiler reports. Of TypeScript's two
 * compilers, the native one takes a tenth of the time.
 */
async function typecheck(program: string, options: Readonly<Record<string, unknown>>, compiler = "typescript-native") {
  const folder = await mkdtemp(join(installed, "project-"));
  const compilerOptions = { strict: true, noEmit: true, target: "ES2023", ...options };
  await writeFile(join(folder, "program.mts"), program);
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions }));
  return run("node", [join(root, "node_modules", compiler, "bin/tsc"), "--project", "."], folder).then(
    ({ stdout }) => stdout,
    (error: unknown) => (error as { readonly stdout: string }).stdout,
  );
}

/** The README's TypeScript blocks, joined into the one program that they form, and what the last of them prints. */
async function readmeProgram() {
  const readme = await readFile(join(root, "README.md"), "utf8");
  const blocks = blocksOf(readme).filter(({ language }) => language === "ts");
  if (blocks.length === 0) throw new Error("README.md has no ts block");
  return { program: blocks.map(({ code }) => code).join("\n"), prints: blocks.at(-1)!.expected };
}
