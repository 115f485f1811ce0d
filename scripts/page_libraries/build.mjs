// Builds bon_hydra/report/page/libraries/ from npm:  npm ci --ignore-scripts && node build.mjs
//
// One script with everything the page is drawn with, one style sheet with the fonts inside, and LICENSES.md, which
// names every package in them with its version and the text of its licence. Nothing in them is written by us; to
// upgrade, change package.json, run `npm install --ignore-scripts`, build, and run tests/test_report_page.py.
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = join(HERE, "../../bon_hydra/report/page/libraries");
const MODULES = join(HERE, "node_modules");
const NAME = /node_modules\/((?:@[^/]+\/)?[^/]+)/;

// A script element ends at "</script", and "<!--" with "<script" after it hides even that end from the parser.
const inScriptElement = (code) => code.replace(/<(?=!--|\/?script)/gi, "\\x3C");

// Every browser that runs the page reads woff2; the other formats would only make it larger.
const onlyWoff2 = {
  name: "only-woff2",
  setup(builder) {
    builder.onLoad({ filter: /katex\.css$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replace(/,\s*url\([^)]*\.(woff|ttf)\) format\("[a-z]+"\)/g, ""),
      loader: "css",
    }));
  },
};

const common = { bundle: true, minify: true, write: false, metafile: true, legalComments: "none", target: "es2022" };
const script = await build({
  ...common,
  entryPoints: [join(HERE, "libraries.js")],
  format: "iife",
  globalName: "libraries",
});
const style = await build({
  ...common,
  entryPoints: [join(HERE, "libraries.css")],
  loader: { ".woff2": "dataurl" },
  plugins: [onlyWoff2],
});

const used = new Set();
for (const { metafile } of [script, style]) {
  for (const [path, { bytesInOutput }] of Object.values(metafile.outputs).flatMap((o) => Object.entries(o.inputs))) {
    if (bytesInOutput > 0 && NAME.test(path)) used.add(NAME.exec(path)[1]);
  }
}
for (const path of Object.keys(style.metafile.inputs)) if (NAME.test(path)) used.add(NAME.exec(path)[1]);

const packages = [...used].sort().map((name) => {
  const folder = join(MODULES, name);
  const { version, license, homepage = "" } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const texts = readdirSync(folder, { recursive: true })
    .filter((file) => /^(licen[cs]e[^/]*|notice[^/]*|licenses\/LICENSE-[^/]*)$/i.test(file))
    .filter((file) => statSync(join(folder, file)).isFile())
    .map((file) => readFileSync(join(folder, file), "utf8").trim());
  if (!texts.length) throw new Error(`${name} has no licence text`);
  return { name, version, license, homepage, texts };
});

const table = packages.map(
  ({ name, version, license, homepage }) => `| ${name} | ${version} | ${license} | ${homepage} |`,
);
const texts = packages.map(({ name, texts }) => `## ${name}\n\n${texts.join("\n\n").replace(/^/gm, "    ")}\n`);
writeFileSync(
  join(OUT, "LICENSES.md"),
  `# What \`libraries.js\` and \`libraries.css\` are made of

Built from npm by \`scripts/page_libraries/build.mjs\`; not edited by hand.

| package | version | licence | home |
|---|---|---|---|
${table.join("\n")}

${texts.join("\n")}`,
);
const banner = "/* Versions and licences of what this is made of: LICENSES.md beside it, and in the page itself. */\n";
writeFileSync(join(OUT, "libraries.js"), banner + inScriptElement(script.outputFiles[0].text));
writeFileSync(join(OUT, "libraries.css"), banner + style.outputFiles[0].text);
console.log(packages.map(({ name, version, license }) => `${name} ${version} ${license}`).join("\n"));
