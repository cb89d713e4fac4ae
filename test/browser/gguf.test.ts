/** GGUF files in a browser: picked, dropped, split, behind URLs with and without ranges; and what is refused. */
import { generate } from "early-exits";
import { createDevice, readModel } from "early-exits/browser";
import { afterEach, describe, expect, it } from "vitest";
import { type GgufModel, ggufModel } from "../support/gguf/model.js";
import { drop } from "./support/drop.js";
import { expectCode } from "../support/expect-code.js";

const ids = [5, 17, 280, 0, 42];
const single = await ggufModel({ type: "Q8_0" });
const split = await ggufModel({ type: "Q8_0", parts: 3 });

const load = async (source: Parameters<typeof readModel>[0]) => readModel(source, { device: await createDevice() });
/** The logits of a model from there are the expected ones. */
async function expectSame(source: Parameters<typeof readModel>[0]) {
  expect(await (await load(source)).logits(ids)).toEqual(expected);
}
const filesOf = ({ files }: GgufModel) => Object.entries(files).map(([name, bytes]) => new File([bytes], name));

const expected = await (await load(filesOf(single))).logits(ids);

describe("files", () => {
  it("one that was dropped continues a text", async () => {
    const model = await load(await drop(filesOf(single)));
    expect(await model.logits(ids)).toEqual(expected);
    const run = generate(model, "The river", { maxNewTokens: 8, stopAtEndOfText: false });
    for await (const { depth } of run) expect(depth).toBe(3);
    expect(run.summary.ids).toHaveLength(8);
  });

  it("one that was picked", () => expectSame(filesOf(single)[0]!));

  it("a split model dropped together, in any order", async () => expectSame(await drop(filesOf(split).reverse())));

  it("beside a config.json, in a folder", async () => {
    const files = new Map<string, Blob>([["m/config.json", new Blob(["{}"])]]);
    for (const file of filesOf(split)) files.set(`m/${file.name}`, file);
    await expectSame(files);
  });

  it("two models, or a later part alone, are refused", async () => {
    const [first, second, third] = filesOf(split);
    await expectCode(load([...filesOf(single), ...filesOf(split)]), "gguf-several");
    await expectCode(load([second!]), "gguf-split");
    await expectCode(load([first!, third!]), "gguf-part-missing");
  });
});

describe("URLs", () => {
  const realFetch = globalThis.fetch;
  afterEach(() => void (globalThis.fetch = realFetch));

  /** Serves the files of a model at any address, and records the ranges that are asked for. */
  function serve({ files }: GgufModel, { ranges, total = true }: { ranges: boolean; total?: boolean }) {
    const asked: string[] = [];
    globalThis.fetch = (input, init) => {
      const { pathname } = new URL(input as string);
      const bytes = files[pathname.slice(pathname.lastIndexOf("/") + 1)];
      const range = new Headers(init?.headers).get("range");
      asked.push(range ?? "all");
      if (bytes === undefined) return Promise.resolve(new Response(null, { status: 404 }));
      if (!ranges || range === null) return Promise.resolve(new Response(bytes));
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range)!;
      const headers = { "content-range": `bytes ${first!}-${last!}/${bytes.length}` };
      const part = bytes.slice(Number(first), Number(last) + 1);
      return Promise.resolve(new Response(part, { status: 206, headers: total ? headers : {} }));
    };
    return asked;
  }

  it("are read in ranges, and the parts of a split model beside the first", async () => {
    const asked = serve(split, { ranges: true });
    await expectSame(`https://models.example/resolve/main/${split.name}?download=true`);
    expect(asked).not.toContain("all");
    expect(asked.filter((range) => range === "bytes=0-0")).toHaveLength(3);
  });

  it("are read as a whole if the server knows no ranges, or hides the size", async () => {
    const asked = serve(single, { ranges: false });
    await expectSame(new URL(`https://models.example/${single.name}`));
    expect(asked).toEqual(["bytes=0-0"]);
    const again = serve(single, { ranges: true, total: false });
    await expectSame(`https://models.example/${single.name}`);
    expect(again).toEqual(["bytes=0-0", "all"]);
  });

  it("without a file are refused", async () => {
    serve(single, { ranges: true });
    await expectCode(load("https://models.example/none.gguf"), "file-missing");
    globalThis.fetch = realFetch;
    await expectCode(load("http://127.0.0.1:9/x.gguf"), "fetch-failed");
  });
});
