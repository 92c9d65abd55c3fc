// `node build.mjs ENTRY CONTRACT OUTPUT [ENGINE]`, run by `ilab-host plugin build`.
import { writeFile } from "node:fs/promises";
import { componentize } from "componentize-qjs";
import { rolldown } from "rolldown";

const [entry, witPath, out, runtime] = process.argv.slice(2);
try {
  // What the host offers is no module of anybody's.
  const bundle = await rolldown({ input: entry, external: [/^ilab:/], platform: "neutral", logLevel: "silent" });
  // Without comments: the bundler's name the files of this machine. Names stay, for messages.
  const minify = { compress: false, mangle: false, codegen: { removeWhitespace: true } };
  const { output } = await bundle.generate({ format: "es", minify });
  const { component } = await componentize({
    witPath,
    jsSource: output[0].code,
    world: "stage-plugin",
    // Without what asynchronous components need: another engine is taken as it is.
    ...(runtime ? { runtime } : { sync: true }),
    stubWasi: true,
    // An instance lives for one call.
    disableGc: true,
  });
  await writeFile(out, component);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
