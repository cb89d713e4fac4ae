/** Exit statuses and error messages; a real process is started for signals. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { exitCodeOf } from "../../src/cli/exit-code.js";
import { cli, scratch, sentences, testIo, tinyModel, writeText } from "./support.js";

const folder = scratch();
afterAll(folder.remove);

const root = join(import.meta.dirname, "..", "..");
const tsx = ["--import", "tsx", join(root, "src", "cli", "main.ts")];

/** Runs the program as a process. */
function start(
  args: readonly string[],
  onErr: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [...tsx, ...args], {
    cwd: root,
    env: { ...process.env, FORCE_COLOR: undefined },
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (data: Buffer) => (out += data.toString()));
  child.stderr.on("data", (data: Buffer) => {
    err += data.toString();
    onErr(err, (signal) => child.kill(signal));
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, err })));
}

describe("usage errors end with status 2", () => {
  it.for([
    [["inspect"], "error: missing required argument 'dir'"],
    [["train", "model"], "error: required option '--out <folder>' not specified"],
    [["train", "model", "--out", "heads"], "error: train: give either --text PATH or --self, the text to train on"],
    [
      ["train", "model", "--out", "heads", "--text", "a", "--self", "3"],
      "error: train: give either --text PATH or --self, the text to train on",
    ],
    [
      ["train", "model", "--out", "heads", "--steps", "0"],
      "error: option '--steps <n>' argument '0' is invalid. Expected an integer of at least 1.",
    ],
    [
      ["train", "model", "--out", "heads", "--exits", "2,x"],
      "error: option '--exits <n>' argument '2,x' is invalid. Expected an integer of at least 0.",
    ],
    [
      ["train", "model", "--out", "heads", "--kind", "cubic"],
      "error: option '--kind <kind>' argument 'cubic' is invalid. Allowed choices are dense, tied, lowRank, " +
        "mlp, shortlist, linear, linearShortlist, linearScreened, linearPreview, " +
        "linearPreviewShortlist, block, blockPreview.",
    ],
    [
      ["calibrate", "model", "--heads", "h", "--text", "t", "--agreement", "1"],
      "error: option '--agreement <share>' argument '1' is invalid. Expected a number in (0, 1).",
    ],
    [
      ["generate", "model", "--prompt", "x", "--policy", "p"],
      "error: generate: --policy needs --heads, the folder of the heads it was made for",
    ],
    [
      ["inspect", "model", "--budgets", "layers=many"],
      "error: option '--budgets <limits>' argument 'layers=many' is invalid. Expected name=limit, separated by " +
        "commas: budgets: layers is NaN; legal are numbers >= 1 for configBytes, indexBytes, tokenizerBytes, " +
        "jsonKeys, jsonValues, jsonDepth, safetensorsHeaderBytes, ggufHeaderBytes, ggufValues, layers, mergeWork, " +
        "addedCharacters, tokenizerSteps, patternLength, textGrowth, patternMilliseconds.",
    ],
    [["inspekt"], "error: unknown command 'inspekt'"],
  ] as const)("%s", async ([line, sentence]) => {
    const { code, out, err } = await cli(line);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err.split("\n")[0]).toBe(sentence);
  });
});

const missing =
  "/nowhere: there is no such file or folder. A model is a folder with config.json, *.safetensors and " +
  "tokenizer.json, a .gguf file, a name of the Hub such as HuggingFaceTB/SmolLM2-135M-Instruct, or the name of a " +
  "model that comes with this package: sotu-12, sotu-6";

describe("what is given in place of a model, text or option is named, with what to do", () => {
  const given = (name: string, content: string | Uint8Array = "x"): string => {
    writeFileSync(folder.path(name), content);
    return folder.path(name);
  };
  const inFolder = (name: string, ...files: string[]): string => {
    mkdirSync(folder.path(name));
    for (const file of files) writeFileSync(folder.path(name, file), "{}");
    return folder.path(name);
  };
  const refusal = async (...line: string[]): Promise<string> => {
    const { code, err } = await cli(line);
    expect(code).not.toBe(0);
    return err;
  };

  it("a mistyped option, before one that is missing", async () => {
    expect(await refusal("generate", "sotu-12", "--promt", "x")).toContain("(Did you mean --prompt?)");
    expect(await refusal("train", "sotu-12", "--txet", "x")).toContain("(Did you mean --text?)");
  });

  it("a file that is no model, a folder around one, weights of other libraries, heads", async () => {
    expect(await refusal("inspect", given("paper.pdf"))).toContain("is no model. A model is a .gguf file, or a folder");
    expect(await refusal("inspect", given("model.safetensors"))).toContain("give the folder that it is in");
    const around = inFolder("around", "model.q4.gguf", "README.md");
    expect(await refusal("inspect", around)).toContain(`name the file, as in ${join(around, "model.q4.gguf")}`);
    const torch = inFolder("torch", "config.json", "pytorch_model.bin");
    expect(await refusal("inspect", torch)).toContain("safe_serialization=True");
    expect(await refusal("inspect", inFolder("exits", "heads.json"))).toContain("pass it as --heads");
  });

  it("a PDF or a GGUF file in place of text", async () => {
    const train = ["train", "sotu-12", "--out", folder.path("none"), "--device", "reference", "--text"];
    expect(await refusal(...train, given("text.pdf", "%PDF-1.7 ..."))).toContain("pdftotext");
    expect(await refusal(...train, given("text.gguf", "GGUF...."))).toContain("give it where a model is expected");
  });

  it("a prompt that is neither given nor on stdin", async () => {
    expect(await refusal("generate", "sotu-12")).toContain('give --prompt "text to continue", or the text on stdin');
  });
});

describe("errors of the library end with status 1 and one sentence", () => {
  it.for([
    ["inspect", "/nowhere"],
    ["generate", "/nowhere", "--prompt", "x", "--device", "reference"],
    ["demo", "--model", "/nowhere"],
  ] as const)("%s", async (line) => {
    const { code, out, err } = await cli(line);
    expect(code).toBe(1);
    expect(out).toBe("");
    expect(err.trimEnd().split("\n").at(-1)).toBe(`error: ${missing}`);
  });

  it("an unknown device is named, with those that exist", async () => {
    expect((await cli(["generate", "/nowhere", "--prompt", "x", "--device", "abacus"])).err).toContain(
      "argument 'abacus' is invalid. Allowed choices are auto, gpu, wasm, reference.",
    );
  });

  it("--json puts the error on stdout too, --debug adds the stack", async () => {
    const json = await cli(["inspect", "/nowhere", "--json"]);
    expect(JSON.parse(json.out)).toEqual({
      error: {
        code: "model-missing",
        message: missing,
        details: { path: "/nowhere" },
      },
    });
    expect((await cli(["inspect", "/nowhere", "--debug"])).err).toMatch(/^ModelError: .*\n {4}at /);
  });

  it("an unexpected error says so", async () => {
    const io = testIo();
    expect(await exitCodeOf(io, () => Promise.reject(new TypeError("x is undefined")))).toBe(1);
    expect(io.err()).toBe("error: x is undefined (unexpected; --debug shows where)\n");
  });

  it("an interrupt ends with status 130, whatever error it caused", async () => {
    const io = testIo();
    io.interrupt();
    expect(await exitCodeOf(io, () => Promise.reject(new Error("anything")))).toBe(130);
    expect(io.err()).toBe("interrupted\n");
  });
});

describe("the process", () => {
  it("a failure is one sentence on stderr and status 1", async () => {
    expect(await start(["inspect", "/nowhere"])).toEqual({
      code: 1,
      out: "",
      err: `error: ${missing}\n`,
    });
  });

  it("SIGINT stops training at a checkpoint and ends with status 130", async () => {
    const text = writeText(folder.path("text.txt"), sentences(40));
    let sent = false;
    const { code, err } = await start(
      ["pretrain", "--text", text, "--out", folder.path("model"), ...tinyModel, "--steps", "100000"],
      (heard, kill) => {
        if (sent || !heard.includes("pretrain 1/")) return;
        sent = true;
        kill("SIGINT");
      },
    );
    expect(err).toContain("interrupted; the state is in");
    expect(code).toBe(130);
    expect(existsSync(folder.path("model", "checkpoint", "state.safetensors"))).toBe(true);
  });
});

it("a file beyond a limit is refused with the flag that raises it, and read with it", async () => {
  const dir = folder.path("deep");
  mkdirSync(dir);
  const config = {
    ...{ model_type: "gpt2", n_embd: 4, n_layer: 1, n_head: 1, n_positions: 8, vocab_size: 8 },
    note: "x".repeat(5e6),
  };
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  const refused = await cli(["plan", dir]);
  expect(refused.code).toBe(1);
  const flag = /\(on the command line: (--budgets configBytes=\d+)\)/.exec(refused.err)![1]!;
  const { code, err } = await cli(["plan", dir, ...flag.split(" ")]);
  expect({ code, err }).toMatchObject({ code: 0 });
});
