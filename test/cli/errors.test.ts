/** Exit statuses and error messages; a real process is started for signals. */
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { exitCodeOf } from "../../apps/cli/exit-code.js";
import { cli, refused, scratch, sentences, startProcess, testIo, words, writeText } from "./support.js";

const folder = scratch();

it.for([
  [["plan"], ["missing", "dir"]],
  [
    ["train", "model"],
    ["required", "--out"],
  ],
  [words`train model --out heads`, ["--text", "--self"]],
  [words`train model --out heads --steps 0`, ["--steps", "'0'", "at least 1"]],
  [words`train model --out heads --exits 2,x`, ["--exits", "2,x", "integer"]],
  [words`train model --out heads --kind cubic`, ["--kind", "cubic", "dense", "linear"]],
  [words`calibrate model --heads h --text t --agreement 95`, ["--agreement", "(0, 1)", "mean 0.95?"]],
  [words`generate model --prompt x --policy p`, ["--policy", "--heads"]],
  [words`plan model --budgets layers=many`, ["--budgets", "layers", "configBytes"]],
  [["plann"], ["unknown command", "plann", "plan"]],
] as const)("usage errors end with status 2, and name what is wrong and what is legal %s", async ([line, facts]) => {
  const { code, out, err } = await cli(line);
  expect(code).toBe(2);
  expect(out).toBe("");
  for (const fact of facts) expect(err).toContain(fact);
});

describe("what is given in place of a model, text or option is named, with what to do", () => {
  const given = (name: string, content: string | Uint8Array = "x") => {
    writeFileSync(folder.path(name), content);
    return folder.path(name);
  };
  const inFolder = (name: string, ...files: string[]) => {
    mkdirSync(folder.path(name));
    for (const file of files) writeFileSync(folder.path(name, file), "{}");
    return folder.path(name);
  };

  it("a mistyped option, before one that is missing", async () => {
    expect(await refused(words`generate sotu-12 --promt x`, 2)).toContain("(Did you mean --prompt?)");
    expect(await refused(words`train sotu-12 --txet x`, 2)).toContain("(Did you mean --text?)");
  });

  it("what is no regular file, in place of one to write, before any work", async () => {
    symlinkSync(given("target.json"), folder.path("link"));
    const used = words`model --heads h --text t`;
    for (const place of [folder.path("link"), "/dev/null", folder.path(".")]) {
      for (const line of [words`calibrate ${used} --out`, words`plan ${used} --times`, words`eval m --task t --out`]) {
        expect(await refused([...line, place], 2)).toContain("a link or a folder, which is not replaced");
      }
    }
  });

  it("no heads, where the package has none; it has those of sotu-12", async () => {
    const text = writeText(folder.path("held.txt"), sentences(2));
    expect(await refused(words`calibrate sotu-6 --text ${text}`, 2)).toContain("no heads come with the package for");
    expect((await cli(words`calibrate sotu-12 --text ${text}`)).out).toContain("depth 6 ");
  });

  it("a file that is no model, a folder around one, weights of other libraries, heads", async () => {
    expect(await refused(["plan", given("paper.pdf")])).toContain("is no model. A model is a .gguf file, or a folder");
    expect(await refused(["plan", given("model.safetensors")])).toContain("give the folder that it is in");
    const around = inFolder("around", "model.q4.gguf", "README.md");
    expect(await refused(["plan", around])).toContain(`name the file, as in ${join(around, "model.q4.gguf")}`);
    const torch = inFolder("torch", "config.json", "pytorch_model.bin");
    expect(await refused(["plan", torch])).toContain("safe_serialization=True");
    expect(await refused(["plan", inFolder("exits", "heads.json")])).toContain("pass it as --heads");
  });

  it("a prompt that is neither given nor on stdin", async () =>
    expect(await refused(["generate", "sotu-12"], 2)).toContain(
      'give --prompt "text to continue", or the text on stdin',
    ));
});

describe("errors of the library end with status 1 and one sentence", () => {
  it.for([
    ["plan", "/nowhere"],
    words`generate /nowhere --prompt x --device reference`,
    words`demo --model /nowhere`,
  ] as const)("%s", async (line) => {
    const { code, out, err } = await cli(line);
    expect(code).toBe(1);
    expect(out).toBe("");
    const sentence = err.trimEnd().split("\n").at(-1)!;
    for (const fact of ["error: /nowhere", "no such file or folder", "config.json", ".gguf", "sotu-12"]) {
      expect(sentence).toContain(fact);
    }
  });

  it("--json puts the error on stdout too, --debug adds the stack", async () => {
    const json = await cli(words`plan /nowhere --json`);
    const { error } = JSON.parse(json.out) as { readonly error: { readonly message: string } };
    expect(error).toMatchObject({ code: "model-missing", details: { path: "/nowhere" } });
    expect(json.err).toBe(`error: ${error.message}\n`);
    expect((await cli(words`plan /nowhere --debug`)).err).toMatch(/^EarlyExitError: .*\n {4}at /);
  });

  it("an unexpected error says so", async () => {
    const io = testIo();
    expect(await exitCodeOf(io, () => Promise.reject(new TypeError("x is undefined")))).toBe(1);
    expect(io.err()).toBe("error: x is undefined (unexpected; --debug shows where)\n");
  });

  it("one of the system does not", async () => {
    const io = testIo();
    await exitCodeOf(io, () => readFile("/dev/null/x"));
    expect(io.err()).toMatch(/^error: ENOTDIR.*'\n$/);
  });

  it("an interrupt ends with status 130, whatever error it caused", async () => {
    const io = testIo();
    io.interrupt();
    expect(await exitCodeOf(io, () => Promise.reject(new Error("anything")))).toBe(130);
    expect(io.err()).toBe("interrupted\n");
  });
});

it("SIGINT stops a process's training at a checkpoint, and it ends with status 130 and one sentence", async () => {
  const text = writeText(folder.path("text.txt"), sentences(40));
  const heads = folder.path("heads");
  const { child, ended } = startProcess(words`
    train sotu-12 --text ${text} --depths 6 --batch 1 --sequence 16 --steps 100000 --out ${heads} --device wasm`);
  child.stderr.on("data", (data: Buffer) => data.toString().includes("train 1/") && child.kill("SIGINT"));
  const { code, out, err } = await ended;
  expect({ code, out }).toEqual({ code: 130, out: "" });
  expect(err).toMatch(/\ntrain: interrupted; the state is in .*\n$/);
  expect(existsSync(folder.path("heads", "checkpoint", "state.safetensors"))).toBe(true);
});

it("nobody reads stdout: the process ends as one that SIGPIPE ended, and set no flag that its V8 lacks", async () => {
  const { child, ended } = startProcess(["--help"]);
  child.stdout.destroy();
  expect(await ended).toEqual({ code: 141, out: "", err: "" });
});

it("a file beyond a limit is refused with the flag that raises it, and passes with it", async () => {
  const dir = folder.path("deep");
  mkdirSync(dir);
  const config = {
    model_type: "gpt2",
    n_embd: 4,
    n_layer: 1,
    n_head: 1,
    n_positions: 8,
    vocab_size: 8,
    note: "x".repeat(5e6),
  };
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  const flag = /\(on the command line: (--budgets configBytes=\d+)\)/.exec(await refused(["plan", dir]))![1]!;
  expect((await cli(["plan", dir, ...flag.split(" ")])).err).toMatch(/no weights|safetensors/); // it comes next
});
