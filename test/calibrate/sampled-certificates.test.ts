/** The certificates for sampled text that ship with sotu-12, for the model in float32 and in int8. */
import { generate, verifyCertificate } from "early-exits";
import { readHeads, readJson, readModel, readPolicy } from "early-exits/node";
import { expect, it } from "vitest";
import { devicesHere } from "../support/devices.js";
import { expectCode } from "../support/expect-code.js";
import { finish } from "../support/lossless.js";

const folder = "models/sotu-12";
const sampling = { temperature: 0.8, topP: 0.95 };
const { wasm: device } = await devicesHere();

it.each(["float32", "int8"] as const)("hold for %s, and give the same text and depths again", async (dtype) => {
  const heads = await readHeads(`${folder}/heads`, await readModel(folder, { device, dtype }));
  for (const level of [0.95, 0.9, 0.8]) {
    const policy = await readPolicy(folder, { level, dtype, sampling });
    const place = dtype === "int8" ? "int8/" : "";
    const file = await readJson(`${folder}/certificates/${place}temperature-0.8-topP-0.95/${100 * level}.json`);
    expect(await verifyCertificate(file, { heads })).toMatchObject({ verdict: "arithmetic consistent" });
    expect(file).toMatchObject({ policy });
    const write = () => finish(generate(heads, "The people", { policy, ...sampling, seed: 3, maxNewTokens: 24 }));
    const [once, again] = [await write(), await write()];
    expect(once.promise).toMatchObject({ kind: "certified", loss: "totalVariation", agreement: level });
    expect([again.ids, again.depthCounts]).toEqual([once.ids, once.depthCounts]);
  }
});

it("are told from others, which are refused with what there is", async () => {
  await expectCode(
    readPolicy(folder, { level: 0.9, sampling: { temperature: 0.7 } }),
    "policy-missing",
    ", certificates/int8/",
  );
  await expectCode(
    readPolicy(folder, { level: 0.9, dtype: "int8" }),
    "policy-dtype",
    /for float32, not for int8; there/,
  );
  await expectCode(
    readPolicy(`${folder}/certificates/90.json`, { sampling }),
    "policy-sampling",
    "for greedy, not for",
  );
});
