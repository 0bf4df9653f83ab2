#include "intake/languages.h"

#include <algorithm>
#include <string>

#include "intake/sanitise.h"

namespace gbgreg::intake {
namespace {

enum Nature : bool { prose = false, code = true };

struct Entry {
  std::string_view key;
  Language language;
};

constexpr Language kAssembly{"Assembly", code, "text/x-asm"};
constexpr Language kBatch{"Batch", code, "text/x-msdos-batch"};
constexpr Language kC{"C", code, "text/x-c"};
constexpr Language kClojure{"Clojure", code, "text/x-clojure"};
constexpr Language kCmake{"CMake", code, "text/x-cmake"};
constexpr Language kCpp{"C++", code, "text/x-c++"};
constexpr Language kCsharp{"C#", code, "text/x-csharp"};
constexpr Language kCss{"CSS", code, "text/css"};
constexpr Language kCsv{"CSV", prose, "text/csv"};
constexpr Language kCuda{"CUDA", code, "text/x-cuda"};
constexpr Language kDart{"Dart", code, "text/x-dart"};
constexpr Language kDiff{"Diff", code, "text/x-diff"};
constexpr Language kDockerfile{"Dockerfile", code, "text/x-dockerfile"};
constexpr Language kElixir{"Elixir", code, "text/x-elixir"};
constexpr Language kErlang{"Erlang", code, "text/x-erlang"};
constexpr Language kFortran{"Fortran", code, "text/x-fortran"};
constexpr Language kFsharp{"F#", code, "text/x-fsharp"};
constexpr Language kGo{"Go", code, "text/x-go"};
constexpr Language kGroovy{"Groovy", code, "text/x-groovy"};
constexpr Language kHaskell{"Haskell", code, "text/x-haskell"};
constexpr Language kHtml{"HTML", code, "text/html"};
constexpr Language kIni{"INI", prose, "text/plain"};
constexpr Language kJava{"Java", code, "text/x-java"};
constexpr Language kJavascript{"JavaScript", code, "text/javascript"};
constexpr Language kJson{"JSON", prose, "application/json"};
constexpr Language kJulia{"Julia", code, "text/x-julia"};
constexpr Language kKotlin{"Kotlin", code, "text/x-kotlin"};
constexpr Language kLatex{"LaTeX", prose, "text/x-tex"};
constexpr Language kLua{"Lua", code, "text/x-lua"};
constexpr Language kMakefile{"Makefile", code, "text/x-makefile"};
constexpr Language kMarkdown{"Markdown", prose, "text/markdown"};
constexpr Language kMeson{"Meson", code, "text/x-meson"};
constexpr Language kNix{"Nix", code, "text/x-nix"};
constexpr Language kObjectiveC{"Objective-C", code, "text/x-objective-c"};
constexpr Language kOcaml{"OCaml", code, "text/x-ocaml"};
constexpr Language kPascal{"Pascal", code, "text/x-pascal"};
constexpr Language kPerl{"Perl", code, "text/x-perl"};
constexpr Language kPhp{"PHP", code, "text/x-php"};
constexpr Language kPowershell{"PowerShell", code, "text/x-powershell"};
constexpr Language kProtobuf{"Protocol Buffers", code, "text/x-protobuf"};
constexpr Language kPython{"Python", code, "text/x-python"};
constexpr Language kR{"R", code, "text/x-r"};
constexpr Language kRst{"reStructuredText", prose, "text/x-rst"};
constexpr Language kRuby{"Ruby", code, "text/x-ruby"};
constexpr Language kRust{"Rust", code, "text/x-rust"};
constexpr Language kScala{"Scala", code, "text/x-scala"};
constexpr Language kScss{"SCSS", code, "text/x-scss"};
constexpr Language kShell{"Shell", code, "text/x-shellscript"};
constexpr Language kSql{"SQL", code, "text/x-sql"};
constexpr Language kSvelte{"Svelte", code, "text/x-svelte"};
constexpr Language kSvg{"SVG", prose, "image/svg+xml"};
constexpr Language kSwift{"Swift", code, "text/x-swift"};
constexpr Language kTerraform{"Terraform", code, "text/x-terraform"};
constexpr Language kToml{"TOML", prose, "application/toml"};
constexpr Language kTypescript{"TypeScript", code, "text/x-typescript"};
constexpr Language kVerilog{"Verilog", code, "text/x-verilog"};
constexpr Language kVhdl{"VHDL", code, "text/x-vhdl"};
constexpr Language kVue{"Vue", code, "text/x-vue"};
constexpr Language kXml{"XML", prose, "text/xml"};
constexpr Language kYaml{"YAML", prose, "application/yaml"};
constexpr Language kZig{"Zig", code, "text/x-zig"};

constexpr Entry kByName[] = {
    {"cmakelists.txt", kCmake}, {"containerfile", kDockerfile}, {"dockerfile", kDockerfile}, {"gemfile", kRuby},
    {"gnumakefile", kMakefile}, {"jenkinsfile", kGroovy},       {"makefile", kMakefile},     {"meson.build", kMeson},
    {"rakefile", kRuby},        {"vagrantfile", kRuby},         {".bashrc", kShell},         {".profile", kShell},
    {".zshrc", kShell},
};

constexpr Entry kByExtension[] = {
    {"asm", kAssembly},
    {"bash", kShell},
    {"bat", kBatch},
    {"c", kC},
    {"c++", kCpp},
    {"cc", kCpp},
    {"cfg", kIni},
    {"cjs", kJavascript},
    {"clj", kClojure},
    {"cljs", kClojure},
    {"cmake", kCmake},
    {"cmd", kBatch},
    {"conf", kIni},
    {"cpp", kCpp},
    {"cppm", kCpp},
    {"cs", kCsharp},
    {"css", kCss},
    {"csv", kCsv},
    {"cu", kCuda},
    {"cuh", kCuda},
    {"cxx", kCpp},
    {"dart", kDart},
    {"diff", kDiff},
    {"erl", kErlang},
    {"ex", kElixir},
    {"exs", kElixir},
    {"f90", kFortran},
    {"f95", kFortran},
    {"fs", kFsharp},
    {"fsx", kFsharp},
    {"go", kGo},
    {"gradle", kGroovy},
    {"groovy", kGroovy},
    {"h", kC},
    {"h++", kCpp},
    {"hh", kCpp},
    {"hpp", kCpp},
    {"hrl", kErlang},
    {"hs", kHaskell},
    {"htm", kHtml},
    {"html", kHtml},
    {"hxx", kCpp},
    {"inc", kCpp},
    {"ini", kIni},
    {"inl", kCpp},
    {"ipp", kCpp},
    {"java", kJava},
    {"jl", kJulia},
    {"js", kJavascript},
    {"json", kJson},
    {"jsonc", kJson},
    {"jsonl", kJson},
    {"jsx", kJavascript},
    {"kt", kKotlin},
    {"kts", kKotlin},
    {"less", kScss},
    {"lua", kLua},
    {"m", kObjectiveC},
    {"markdown", kMarkdown},
    {"md", kMarkdown},
    {"mjs", kJavascript},
    {"mk", kMakefile},
    {"ml", kOcaml},
    {"mli", kOcaml},
    {"mm", kObjectiveC},
    {"nix", kNix},
    {"pas", kPascal},
    {"patch", kDiff},
    {"php", kPhp},
    {"pl", kPerl},
    {"pm", kPerl},
    {"proto", kProtobuf},
    {"ps1", kPowershell},
    {"psm1", kPowershell},
    {"py", kPython},
    {"pyi", kPython},
    {"pyw", kPython},
    {"r", kR},
    {"rb", kRuby},
    {"rs", kRust},
    {"rst", kRst},
    {"s", kAssembly},
    {"sass", kScss},
    {"sc", kScala},
    {"scala", kScala},
    {"scss", kScss},
    {"sh", kShell},
    {"sql", kSql},
    {"sv", kVerilog},
    {"svelte", kSvelte},
    {"svg", kSvg},
    {"swift", kSwift},
    {"tex", kLatex},
    {"tf", kTerraform},
    {"toml", kToml},
    {"ts", kTypescript},
    {"tsv", kCsv},
    {"tsx", kTypescript},
    {"v", kVerilog},
    {"vhd", kVhdl},
    {"vhdl", kVhdl},
    {"vue", kVue},
    {"xhtml", kHtml},
    {"xml", kXml},
    {"xsd", kXml},
    {"xsl", kXml},
    {"yaml", kYaml},
    {"yml", kYaml},
    {"zig", kZig},
    {"zsh", kShell},
};

constexpr Entry kByInterpreter[] = {
    {"ash", kShell},
    {"awk", {"AWK", code, "text/x-awk"}},
    {"bash", kShell},
    {"cmake", kCmake},
    {"dash", kShell},
    {"deno", kTypescript},
    {"elixir", kElixir},
    {"fish", kShell},
    {"gawk", {"AWK", code, "text/x-awk"}},
    {"groovy", kGroovy},
    {"julia", kJulia},
    {"ksh", kShell},
    {"lua", kLua},
    {"make", kMakefile},
    {"node", kJavascript},
    {"ocaml", kOcaml},
    {"perl", kPerl},
    {"php", kPhp},
    {"pwsh", kPowershell},
    {"python", kPython},
    {"ruby", kRuby},
    {"rscript", kR},
    {"sh", kShell},
    {"swift", kSwift},
    {"zsh", kShell},
};

// What libmagic calls languages, in its own spelling.
constexpr Entry kByMediaType[] = {
    {"application/json", kJson},
    {"application/javascript", kJavascript},
    {"application/x-ndjson", kJson},
    {"image/svg+xml", kSvg},
    {"text/csv", kCsv},
    {"text/html", kHtml},
    {"text/x-asm", kAssembly},
    {"text/x-awk", {"AWK", code, "text/x-awk"}},
    {"text/x-c", kC},
    {"text/x-c++", kCpp},
    {"text/x-diff", kDiff},
    {"text/x-fortran", kFortran},
    {"text/x-java", kJava},
    {"text/x-lua", kLua},
    {"text/x-makefile", kMakefile},
    {"text/x-msdos-batch", kBatch},
    {"text/x-objective-c", kObjectiveC},
    {"text/x-pascal", kPascal},
    {"text/x-perl", kPerl},
    {"text/x-php", kPhp},
    {"text/x-python", kPython},
    {"text/x-ruby", kRuby},
    {"text/x-script.python", kPython},
    {"text/x-shellscript", kShell},
    {"text/x-tex", kLatex},
    {"text/xml", kXml},
};

template <std::size_t size>
std::optional<Language> look_up(const Entry (&table)[size], std::string_view key) {
  const auto* found = std::ranges::find(table, key, &Entry::key);
  if (found == std::end(table)) return std::nullopt;
  return found->language;
}

std::string_view next_word(std::string_view& line) {
  const std::size_t begin = line.find_first_not_of(" \t");
  line.remove_prefix(std::min(begin, line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(" \t\r"));
  line.remove_prefix(word.size());
  return word;
}

// "#!/usr/bin/env -S python3.11 -u" gives "python".
std::string interpreter(std::string_view text) {
  if (!text.starts_with("#!")) return {};
  std::string_view line = text.substr(2, std::min<std::size_t>(text.find('\n'), 256) - 2);
  std::string_view program = next_word(line);
  if (program.ends_with("/env")) {
    do program = next_word(line);
    while (program.starts_with('-') || program.contains('='));
  }
  program = program.substr(program.rfind('/') + 1);
  return lower(program.substr(0, program.find_last_not_of("0123456789.") + 1));
}

}  // namespace

std::optional<Language> language_of(std::string_view filename, std::string_view text) {
  const std::string name = lower(filename);
  if (auto language = look_up(kByName, name)) return language;
  if (name.starts_with("dockerfile.") || name.starts_with("makefile.")) return name[0] == 'd' ? kDockerfile : kMakefile;
  if (auto language = look_up(kByExtension, extension_of(name))) return language;
  return look_up(kByInterpreter, interpreter(text));
}

std::optional<Language> language_of_media_type(std::string_view media_type) {
  return look_up(kByMediaType, media_type);
}

}  // namespace gbgreg::intake
