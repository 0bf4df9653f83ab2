#include "services/module_package_fetch.h"

#include <elf.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>

#include "protocols/base64.h"
#include "services/run_program.h"

namespace gbgreg::services {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::minutes kFetchTimeout{30};  // The largest is 350 MB.
constexpr std::chrono::minutes kUnpackTimeout{5};
constexpr std::size_t kWordsLines = 4;  // Of what a program said last.
constexpr std::size_t kPieceBytes = 256 * 1024;

// PATH is searched by env, because ChildProcess does not.
fleet::Command found_in_path(std::string program, std::vector<std::string> arguments,
                             const std::vector<std::string>& environment) {
  arguments.insert(arguments.begin(), std::move(program));
  return {.program = "/usr/bin/env", .arguments = std::move(arguments), .environment = environment};
}

// Runs it, and gives back why it failed in its own last words.
Result<void> run_or_say(const fleet::Command& command, std::chrono::milliseconds timeout, const std::string& what) {
  std::deque<std::string> last;
  const auto end = run_program(command, timeout, [&](fleet::ChildProcess::Stream, std::string_view line) {
    if (!line.empty()) last.emplace_back(line);
    if (last.size() > kWordsLines) last.pop_front();
    return AfterLine::go_on;
  });
  if (!end) return std::unexpected(end.error());
  if (end->is_well()) return {};
  std::string words = end->was_over_time ? "it took too long" : end->process.sentence();
  for (const std::string& line : last) words += "\n  | " + line;
  return fail(Kind::unavailable, "program_failed", what + " " + words);
}

// "@scope/name@1.2.3": as npm itself calls it, scope-name-1.2.3.tgz.
std::string file_of(std::string_view package) {
  if (package.starts_with('@')) package.remove_prefix(1);
  std::string name(package);
  std::ranges::replace_if(name, [](char c) { return c == '/' || c == '@'; }, '-');
  return name + ".tgz";
}

struct Scratch {
  fs::path folder;
  explicit Scratch(fs::path where) : folder(std::move(where)) {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    fs::create_directories(folder, ignored);
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

Result<fs::path> download(const gpu::ModulePackage& package, const PackageFetch& options) {
  fs::path kept = options.cache / "npm" / file_of(package.package);
  if (integrity_of(kept) == package.integrity) return kept;
  const Scratch scratch(options.cache / "npm" / ("fetch-" + std::to_string(::getpid())));
  // npm's own patience would leave someone without a network waiting for over a minute.
  auto fetched = run_or_say(found_in_path("npm",
                                          {"pack", std::string(package.package), "--prefer-offline", "--silent",
                                           "--fetch-retry-mintimeout=2000", "--fetch-retry-maxtimeout=5000",
                                           "--pack-destination", scratch.folder.string()},
                                          options.environment),
                            kFetchTimeout, "npm could not fetch " + std::string(package.package) + ":");
  if (!fetched) {
    fetched.error().message += "\nIs the network up, npm installed (apt install npm) and its registry setting right?";
    return std::unexpected(std::move(fetched.error()));
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(scratch.folder, error)) {
    const std::string found = integrity_of(entry.path());
    if (found != package.integrity) {
      return fail(Kind::refused, "package_not_pinned",
                  std::string(package.package) +
                      " is not the package that is pinned, so it is not used: its digest is " + found + " instead of " +
                      std::string(package.integrity) + ". Look at npm's registry setting: npm config get registry.");
    }
    fs::rename(entry.path(), kept, error);
    if (!error) return kept;
    return fail(Kind::internal, "package_not_kept",
                "The package cannot be kept as " + kept.string() + ": " + error.message() + ".");
  }
  return fail(Kind::unavailable, "package_not_fetched",
              "npm said that it fetched " + std::string(package.package) +
                  ", and there is no file. Is there space in " + options.cache.string() + "?");
}

// A library of this processor's, by the first bytes of its file.
bool is_for_this_machine(const fs::path& file) {
#if defined(__x86_64__)
  constexpr std::uint16_t kMachine = EM_X86_64;
#elif defined(__aarch64__)
  constexpr std::uint16_t kMachine = EM_AARCH64;
#else
  constexpr std::uint16_t kMachine = EM_NONE;
#endif
  Elf64_Ehdr head{};
  std::ifstream stream(file, std::ios::binary);
  return stream.read(reinterpret_cast<char*>(&head), sizeof head) && std::memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 &&
         head.e_ident[EI_CLASS] == ELFCLASS64 && head.e_type == ET_DYN && head.e_machine == kMachine;
}

// What is renamed into place later must be on the disk by then.
bool sync_file(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool is_synced = ::fsync(descriptor) == 0;
  ::close(descriptor);
  return is_synced;
}

}  // namespace

std::string integrity_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (!stream || !digest || EVP_DigestInit_ex(digest.get(), EVP_sha512(), nullptr) != 1) return {};
  std::vector<char> piece(kPieceBytes);
  while (stream.read(piece.data(), static_cast<std::streamsize>(piece.size())) || stream.gcount() > 0) {
    EVP_DigestUpdate(digest.get(), piece.data(), static_cast<std::size_t>(stream.gcount()));
  }
  if (stream.bad()) return {};
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  EVP_DigestFinal_ex(digest.get(), bytes.data(), &size);
  std::string text = "sha512-";
  protocols::append_base64(text, {reinterpret_cast<const char*>(bytes.data()), size});
  return text;
}

Result<void> fetch_module(const gpu::ModulePackage& package, const PackageFetch& options, const fs::path& target,
                          const TellStep& tell) {
  tell("fetching " + std::string(package.package) + " by npm, unless it is in the cache");
  auto tarball = download(package, options);
  if (!tarball) return std::unexpected(std::move(tarball.error()));
  tell("unpacking: its digest is the pinned one");
  const Scratch scratch(target.string() + ".unpacked");
  const auto unpacked = run_or_say(found_in_path("tar",
                                                 {"-xzf", tarball->string(), "-C", scratch.folder.string(),
                                                  "--no-same-owner", std::string(package.member)},
                                                 options.environment),
                                   kUnpackTimeout, "The package could not be unpacked; is there space?");
  if (!unpacked) return std::unexpected(unpacked.error());
  const fs::path module = scratch.folder / package.member;
  if (!is_for_this_machine(module)) {
    return fail(Kind::refused, "module_for_another_machine",
                std::string(package.package) +
                    " holds no module for this kind of processor. There is one for x86-64 "
                    "only; on others the models run on the processor.");
  }
  std::error_code error;
  fs::permissions(module, fs::perms(0644), error);
  if (!sync_file(module)) return fail(Kind::internal, "module_not_written", "The module could not be written to disk.");
  fs::rename(module, target, error);
  if (!error) return {};
  return fail(Kind::internal, "module_not_written", "The module could not be written: " + error.message() + ".");
}

}  // namespace gbgreg::services
