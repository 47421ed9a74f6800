#include "control/node/probe.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "control/node/accelerators.hpp"
#include "control/node/addresses.hpp"
#include "control/node/models.hpp"
#include "control/node/pre_stop.hpp"

namespace baton::node {
namespace {

using State = ProbeTracker::State;
using Outcome = ProbeTracker::Outcome;

kube::Object parse(const std::string& text) { return *text::json::parse(text); }

ProbeSpec every(Nanos period) {
  ProbeSpec spec;
  spec.period = period;
  return spec;
}

TEST(ProbeTracker, TriesEagerlyButCountsFailuresOncePerPeriod) {
  ManualClock clock;
  ProbeSpec spec = every(std::chrono::seconds(1));
  spec.failure_threshold = 2;
  ProbeTracker tracker(spec, ProbeTracker::Style::kEager, clock.now());
  for (int tenths = 0; tenths < 10; ++tenths) {
    EXPECT_EQ(tracker.due(), clock.now());
    EXPECT_EQ(tracker.record(Outcome::kFailure, clock.now()), State::kUnknown);
    clock.advance(Millis(100));
  }

  EXPECT_EQ(tracker.record(Outcome::kFailure, clock.now()), State::kFailed);
}

TEST(ProbeTracker, GoesToItsPeriodOnceItPassed) {
  ManualClock clock;
  ProbeSpec spec = every(std::chrono::seconds(10));
  spec.initial_delay = std::chrono::seconds(30);
  ProbeTracker tracker(spec, ProbeTracker::Style::kEager, clock.now());
  EXPECT_EQ(tracker.record(Outcome::kSuccess, clock.now()), State::kPassed);
  EXPECT_EQ(tracker.due(), clock.now() + std::chrono::seconds(10));
}

TEST(ProbeTracker, LeavesALivenessProbeItsDelay) {
  ManualClock clock;
  ProbeSpec spec = every(std::chrono::seconds(10));
  spec.initial_delay = std::chrono::seconds(30);
  EXPECT_EQ(ProbeTracker(spec, ProbeTracker::Style::kPatient, clock.now()).due(),
            clock.now() + std::chrono::seconds(30));
}

TEST(ProbeSpec, ReadsHandlersAndNamedPorts) {
  const auto container = parse(R"({"ports":[{"name":"http","containerPort":8001}]})");
  const auto http = probe_spec(parse(R"({"httpGet":{"path":"/health","port":"http"},
    "periodSeconds":1,"failureThreshold":60})"),
                               container, "127.77.0.1");
  ASSERT_TRUE(http);
  EXPECT_EQ(http->port, 8001);
  EXPECT_EQ(http->failure_threshold, 60);
  const auto grpc =
      probe_spec(parse(R"({"grpc":{"port":9003,"service":"readiness"}})"), container, "127.77.0.1");
  EXPECT_EQ(grpc->kind, ProbeSpec::Kind::kGrpc);
  EXPECT_EQ(grpc->service, "readiness");
  const auto exec = probe_spec(parse(R"({"exec":{"command":["x","y"]}})"), container, "");
  EXPECT_EQ(exec->kind, ProbeSpec::Kind::kExec);
  EXPECT_EQ(exec->command, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(probe_spec(parse(R"({"httpGet":{"port":"none"}})"), container, "").error().code(),
            Code::kInvalid);
}

TEST(PreStop, KnowsASleepAndWhetherAnEngineIsBusy) {
  EXPECT_EQ(sleeping_pre_stop(
                parse(R"({"lifecycle":{"preStop":{"exec":{"command":["/bin/sleep","15"]}}}})")),
            Nanos(std::chrono::seconds(15)));
  EXPECT_EQ(sleeping_pre_stop(parse(R"({"lifecycle":{"preStop":{"sleep":{"seconds":3}}}})")),
            Nanos(std::chrono::seconds(3)));
  EXPECT_EQ(sleeping_pre_stop(parse(R"({"lifecycle":{"preStop":{"exec":{"command":["x","1"]}}}})")),
            std::nullopt);
  EXPECT_EQ(requests_in_work("# HELP vllm:num_requests_running\n"
                             "vllm:num_requests_running{model_name=\"a b\"} 2.0\n"
                             "vllm:num_requests_waiting{} 1\nother 5\n"),
            3);
}

// A socket that listens on every address.
class WildcardListener {
 public:
  WildcardListener() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(socket_, 1), 0);
    socklen_t size = sizeof at;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
  }
  ~WildcardListener() { ::close(socket_); }
  std::uint16_t port() const { return port_; }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

TEST(Addresses, AreDifferentAndComeBack) {
  AddressPool pool({}, 7);
  const auto first = pool.take({8000});
  const auto second = pool.take({8000});
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_TRUE(first->starts_with("127.77."));
}

TEST(Addresses, ComeFromTheGivenNetworkAndLeaveOutItsEnds) {
  const auto range = parse_address_range("127.78.3.0/24");
  ASSERT_TRUE(range) << range.error().message();
  EXPECT_EQ(to_string(*range), "127.78.3.0/24");
  AddressPool pool(*range, 250);
  std::set<std::string> taken;
  for (int i = 0; i < 254; ++i) {
    const auto address = pool.take({});
    ASSERT_TRUE(address) << address.error().message();
    EXPECT_TRUE(address->starts_with("127.78.3.")) << *address;
    taken.insert(*address);
  }
  EXPECT_EQ(taken.size(), 254U);
  EXPECT_FALSE(taken.contains("127.78.3.0") || taken.contains("127.78.3.255"));
  EXPECT_EQ(pool.take({}).error().code(), Code::kExhausted);
}

TEST(Addresses, RefuseWhatIsNoNetwork) {
  for (const auto* text : {"", "10.244.0.0", "10.244.0.0/25", "10.244.0.0/7", "10.244.0.1/24",
                           "10.244.0.0/24x", "10.244.0/24", "10.244.0.0/"}) {
    EXPECT_EQ(parse_address_range(text).error().code(), Code::kInvalid) << text;
  }
}

TEST(Addresses, SayThatANetworkIsNotThisMachines) {
  AddressPool pool(*parse_address_range("192.0.2.0/24"), 7);  // for documentation: nobody's
  const auto taken = pool.take({8000});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Code::kUnavailable);
  EXPECT_NE(taken.error().message().find("ip route add local 192.0.2.0/24 dev lo"),
            std::string::npos);
}

TEST(Addresses, NameTheProgramThatListensOnAPodPortEverywhere) {
  const WildcardListener listener;
  AddressPool pool({}, 7);
  const auto taken = pool.take({listener.port()});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Code::kConflict);
  EXPECT_NE(taken.error().message().find("pid " + std::to_string(::getpid())), std::string::npos)
      << taken.error().message();
}

TEST(Addresses, ReadTheKernelsTableOfSockets) {
  constexpr std::string_view kTable =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
      "inode\n"
      "   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "111 1\n"
      "   1: 02014D7F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "222 1\n"
      "   2: 03014D7F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "333 1\n"
      "   3: 00000000:1F40 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 "
      "444 1\n";
  const auto found = listeners(kTable, 8000, "127.77.1.2");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_TRUE(found[0].wildcard);
  EXPECT_EQ(found[0].inode, 111u);
  EXPECT_FALSE(found[1].wildcard);
  EXPECT_EQ(found[1].inode, 222u);
}

TEST(Accelerators, HandOutWhatIsThereAndSayWhatIsMissing) {
  const auto pod = parse(R"({"spec":{"containers":[{"resources":{
    "requests":{"nvidia.com/gpu":"2","cpu":"1"},"limits":{"nvidia.com/gpu":"2"}}}]}})");
  Accelerators two(2, Accelerators::Emulate::kNo);
  EXPECT_EQ(*two.take(pod), "0,1");
  const auto second = two.take(pod);
  EXPECT_EQ(second.error().message(),
            "insufficient nvidia.com/gpu: 2 wanted, 0 free of 2 on this machine; --stand-in "
            "storyteller emulates accelerators");
  two.give_back("0,1");
  EXPECT_TRUE(two.take(pod));
  EXPECT_EQ(*Accelerators(0, Accelerators::Emulate::kYes).take(pod), "");
}

TEST(Models, AreLookedForWhereTheirSchemeSaysAndTheErrorTellsWhere) {
  Config config;
  config.state_dir = "/state";
  config.models_dirs = {"/no/models", BATON_SOURCE_DIR};
  config.model_dirs = {"/no/dir"};
  config.hub.cache = "/no/hf/hub";
  EXPECT_EQ(*find_model("baton://src", config), BATON_SOURCE_DIR "/src");
  EXPECT_EQ(*find_model("file://" BATON_SOURCE_DIR, config), BATON_SOURCE_DIR);
  EXPECT_EQ(
      find_model("hf://org/name", config).error().message(),
      "model hf://org/name is not on this machine; looked for /no/dir/org/name, /no/dir/name, "
      "/no/hf/hub/models--org--name; `baton pull` gets it; or give --model-dir DIR that holds it");
  EXPECT_EQ(find_model("hf://org/name/part", config).error().code(), Code::kInvalid);
  EXPECT_EQ(find_model("baton://../x", config).error().code(), Code::kInvalid);
  EXPECT_EQ(find_model("s3://b/x", config).error().code(), Code::kUnsupported);
  EXPECT_EQ(find_model("pvc://claim/x", config).error().code(), Code::kNotFound);
  config.stand_in = "/models/storyteller";
  EXPECT_EQ(*find_model("s3://b/x", config), "/models/storyteller");
}

TEST(Models, OfTheHubAreDownloadedByACommandUnlessOffline) {
  Config config;
  config.baton = "/bin/baton";
  EXPECT_FALSE(pull_command("hf://org/name", config, ""));  // no cache to put it
  config.hub.cache = "/c";
  EXPECT_EQ(*pull_command("hf://org/name", config, "/v"),
            (std::vector<std::string>{"/bin/baton", "pull", "--cached", "hf://org/name", "--link",
                                      "/v"}));
  EXPECT_FALSE(pull_command("file:///x", config, ""));
  config.hub.is_offline = true;
  EXPECT_FALSE(pull_command("hf://org/name", config, ""));
}

TEST(Models, AreDownloadedWithTheContainersTokenFromThisMachinesHub) {
  Config config;
  config.hub.cache = "/c";
  config.pull_environment = {"HF_TOKEN=ours", "PATH=/bin"};
  Environment container;
  container.set("LD_PRELOAD", "/evil.so");
  EXPECT_EQ(pull_environment(container, config)->lines(),
            (std::vector<std::string>{"HF_TOKEN=ours", "PATH=/bin", "HF_HUB_CACHE=/c"}));
  container.set("HF_TOKEN", "theirs");
  EXPECT_EQ(pull_environment(container, config)->get("HF_TOKEN"), "theirs");
  container.set("HF_ENDPOINT", "http://elsewhere");
  EXPECT_EQ(pull_environment(container, config).error().code(), Code::kDenied);
}

TEST(Models, OfRelativeLinksAreLinkedFileByFile) {
  namespace fs = std::filesystem;
  std::string pattern = fs::temp_directory_path() / "models-test-XXXXXX";
  const fs::path base = ::mkdtemp(pattern.data());
  fs::create_directories(base / "blobs");
  fs::create_directories(base / "snapshots/c");
  fs::create_directories(base / "plain");
  std::ofstream(base / "blobs/b") << "x";
  fs::create_symlink("../../blobs/b", base / "snapshots/c/config.json");

  ASSERT_TRUE(link_model(base / "volume", base / "snapshots/c"));
  EXPECT_EQ(fs::read_symlink(base / "volume/config.json"), fs::canonical(base / "blobs/b"));
  ASSERT_TRUE(link_model(base / "volume", base / "plain"));
  EXPECT_EQ(fs::read_symlink(base / "volume"), base / "plain");
  fs::remove_all(base);
}

TEST(Models, TakeThePlaceOfNothingThatMayBeAUsers) {
  namespace fs = std::filesystem;
  std::string pattern = fs::temp_directory_path() / "models-test-XXXXXX";
  const fs::path base = ::mkdtemp(pattern.data());
  fs::create_directories(base / "model");
  fs::create_directories(base / "full/deep");
  fs::create_directories(base / "relative");
  fs::create_directories(base / "empty");
  std::ofstream(base / "full/deep/file") << "mine";
  std::ofstream(base / "file") << "mine";
  fs::create_symlink("../file", base / "relative/link");

  const auto full = link_model(base / "full", base / "model");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Code::kInvalid);
  EXPECT_EQ(full.error().message(),
            (base / "full").string() +
                " is there already, with deep in it: the model is linked only to a folder that is "
                "missing, empty or of links from before; name another, or move it away");
  EXPECT_TRUE(fs::exists(base / "full/deep/file"));
  for (const auto* name : {"full/", "file", "relative"}) {
    EXPECT_FALSE(link_model(base / name, base / "model")) << name;
    EXPECT_FALSE(can_link_model(base / name)) << name;
  }
  EXPECT_TRUE(fs::is_regular_file(base / "file"));
  EXPECT_TRUE(fs::is_symlink(base / "relative/link"));
  EXPECT_TRUE(link_model(base / "empty/", base / "model"));
  EXPECT_EQ(fs::read_symlink(base / "empty"), base / "model");
  fs::remove_all(base);
}

TEST(Models, AreLinkedOnlyInVolumesOfThePodsOwn) {
  namespace fs = std::filesystem;
  std::string pattern = fs::temp_directory_path() / "models-test-XXXXXX";
  const fs::path base = ::mkdtemp(pattern.data());
  fs::create_directories(base / "volumes/m");
  fs::create_directories(base / "elsewhere");
  fs::create_symlink(base / "elsewhere", base / "volumes/linked");
  const std::string volumes = base / "volumes";

  EXPECT_TRUE(is_in_own_volume(volumes + "/m", volumes));
  EXPECT_TRUE(is_in_own_volume(volumes + "/m/lora/a", volumes));
  EXPECT_TRUE(is_in_own_volume(volumes + "/linked", volumes));
  for (const auto* other : {"/linked/lora", "/m/../../elsewhere", "2/m", "/../elsewhere"}) {
    EXPECT_FALSE(is_in_own_volume(volumes + other, volumes)) << other;
  }
  EXPECT_FALSE(is_in_own_volume(base / "elsewhere", volumes));
  fs::remove_all(base);
}

}  // namespace
}  // namespace baton::node
