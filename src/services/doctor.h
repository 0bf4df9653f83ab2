// Looks at everything that keeps models from running well, and says what is wrong and how it is mended.
//
// The causes of a GPU that is not used are gpu/'s; here they are put together with the engine, the models, memory, disk
// and folders (checkup.h).
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/core.h"
#include "fleet/fleet.h"
#include "fleet/options.h"
#include "gpu/facts.h"
#include "gpu/finding.h"
#include "gpu/probe.h"
#include "llm/llm.h"
#include "services/card_memory.h"

namespace gbgreg::services {

struct DoctorOptions {
  std::filesystem::path engine;   // The llama-server program.
  std::filesystem::path data;     // The data folder, which need not be there yet.
  std::string database_url = {};  // Empty for the file in the data folder. It may have a password in it.
  // Where the models of workers are that are stored by their names; asked at each examination.
  std::function<Result<fleet::StoredFiles>(const std::string& model)> find_model = {};
  std::vector<fleet::WorkerOptions> workers = {};
  std::filesystem::path jail =
      {};  // The folder of the programs that open hostile files; none of them is looked at unless set.
  std::uint64_t upload_bytes_max = 0;
  std::vector<std::string> listen = {};  // Addresses that are to be free; none when a gateway listens on them.
  gpu::ProbeOptions probe = {};          // Its engine_folder and environment are filled in here.
};

struct Diagnosis {
  std::vector<gpu::Finding> findings = {};               // All of them, the worst first.
  std::vector<gpu::Finding> gpu_findings = {};           // Those of the GPU alone.
  std::map<std::string, int> utilisation_decoding = {};  // Percent, by a card's UUID, when models were last at work …
  int busiest_percent = 0;                               // … of the busiest of them …
  int idle_looks = 0;                                    // … and how many looks in a row found them all idle then.
  bool has_card = false;                                 // There is an NVIDIA card, or something that speaks of one.
  std::vector<gpu::NvmlDevice> devices = {};
  std::optional<CardMemory> card_memory = {};  // For models; absent when it cannot be told.
  std::string summary = {};                    // One sentence of what there is: "1 NVIDIA card, driver 580.95.05."
  std::chrono::steady_clock::time_point made_at = {};
  double duration_ms = 0;
  std::string facts_json = {};  // All that was read: gpu/describe.h.
};

// Blocks for some seconds at most: gpu::ProbeOptions::timeout and a look at a few files.
//
// `fleet` has the running workers; null when none run, and then only their configuration is known. `environment` is
// what a worker gets of the gateway's own, "NAME=value" each. `earlier` is the diagnosis before, when there is one.
Diagnosis diagnose(const DoctorOptions& options, const fleet::Fleet* fleet, std::span<const std::string> environment,
                   const Diagnosis* earlier = nullptr);

// The finding that says that the driver does not answer; null when there is none.
const gpu::Finding* driver_hangs(const Diagnosis& diagnosis);

// "error" when one of them is, else "warning", else "ok".
std::string_view status_of(const Diagnosis& diagnosis);

// The doctor of a running gateway. Any thread.
class Doctor {
 public:
  // `pool` has one thread, and nobody else's work.
  Doctor(asio::thread_pool& pool, const fleet::Fleet& fleet, DoctorOptions options,
         std::vector<std::string> environment);

  // One examination at a time: who asks meanwhile gets the last one's result, or waits for that of the first. So does
  // for a while who asks after a driver that hangs. Errors: busy, when the first one came to nothing.
  Task<Result<Diagnosis>> run();

  // What is examined from the next time on; where the machine's files are stays. Any thread.
  void adopt(DoctorOptions options);

  // gpu::newest_hang() of this machine: quick, and asks no driver.
  Task<std::string> newest_hang();

  // Of the latest examination; absent before the first has ended.
  std::shared_ptr<const Diagnosis> latest() const;

 private:
  asio::thread_pool& pool_;
  const fleet::Fleet& fleet_;
  std::vector<std::string> environment_;
  std::atomic<bool> is_running_ = false;
  std::shared_ptr<const DoctorOptions> options() const;

  mutable std::mutex mutex_;                      // Guards what follows.
  std::shared_ptr<const DoctorOptions> options_;  // Shared with an examination, which may end after it was replaced.
  std::shared_ptr<const Diagnosis> latest_;
};

}  // namespace gbgreg::services
