#include "cli/engine_options.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace baton::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<std::optional<EngineOptions>> parse(std::vector<std::string> arguments,
                                           std::map<std::string, std::string> environment = {}) {
  return parse_engine(std::move(arguments),
                      [environment](const char* name) -> std::optional<std::string> {
                        const auto at = environment.find(name);
                        return at == environment.end() ? std::nullopt : std::optional(at->second);
                      });
}

EngineOptions options(std::vector<std::string> arguments,
                      std::map<std::string, std::string> environment = {}) {
  const auto out = parse(std::move(arguments), std::move(environment));
  EXPECT_TRUE(out) << out.error().message();
  return out && *out ? **out : EngineOptions{};
}

std::string error(std::vector<std::string> arguments) {
  const auto out = parse(std::move(arguments));
  return out ? "accepted" : out.error().message();
}

TEST(EngineOptions, ServesTheModelUnderItsNameOnAllInterfaces) {
  const EngineOptions o = options({"/models/a"});
  EXPECT_THAT(o.served_names, ElementsAre("/models/a"));
  EXPECT_EQ(o.service.listen, (http::Endpoint{"0.0.0.0", 8000}));
  EXPECT_FALSE(o.transfer);
  EXPECT_THAT(options({"baton://storyteller"}).served_names, ElementsAre("storyteller"));
}

TEST(EngineOptions, KeepsFloat16KvAsFloat32AndSaysSo) {
  const EngineOptions o = options({"m", "--dtype", "float16"});
  EXPECT_EQ(o.kv_type, model::KvType::kF32);
  EXPECT_EQ(o.without_effect.size(), 1U);
}

TEST(EngineOptions, TakesVllmsTracingFlags) {
  const EngineOptions o =
      options({"m", "--otlp-traces-endpoint=http://c:4317", "--collect-detailed-traces", "all"});
  EXPECT_EQ(o.traces_endpoint, "http://c:4317");
  EXPECT_EQ(o.without_effect.size(), 1U);
  EXPECT_EQ(error({"m", "--collect-detailed-traces=all"}),
            "--collect-detailed-traces needs --otlp-traces-endpoint");
  EXPECT_THAT(error({"m", "--otlp-traces-endpoint=x", "--collect-detailed-traces=model,gpu"}),
              HasSubstr("got 'gpu'"));
}

TEST(EngineOptions, TakesFlagsAsVllmWritesThem) {
  const EngineOptions o =
      options({"m", "--port=8001", "--served_model_name", "a", "b", "--max-model-len", "4k",
               "--max-num-seqs=8", "--no-enable-prefix-caching", "--dtype", "float32", "--seed",
               "7", "--kv-cache-memory-bytes", "1G", "--enable-prompt-tokens-details",
               "--shutdown-timeout", "5"});
  EXPECT_EQ(o.service.listen.port, 8001);
  EXPECT_THAT(o.served_names, ElementsAre("a", "b"));
  EXPECT_EQ(o.max_model_len, 4000u);
  EXPECT_EQ(o.max_num_seqs, 8u);
  EXPECT_EQ(o.kv_bytes, std::uint64_t{1} << 30);
  EXPECT_EQ(o.kv_type, model::KvType::kF32);
  EXPECT_EQ(o.service.seed, 7u);
  EXPECT_EQ(o.drain, std::chrono::seconds(5));
  EXPECT_TRUE(!o.prefix_caching && o.service.prompt_tokens_details);
  EXPECT_THAT(options({"m", "--served-model-name", "a b", "--served-model-name", "c"}).served_names,
              ElementsAre("a", "b", "c"));
}

TEST(EngineOptions, TakesATargetForTheTimeOfAStep) {
  EXPECT_EQ(options({"m", "--step-target", "50"}).step_target, std::chrono::milliseconds(50));
  EXPECT_FALSE(options({"m"}).step_target);
  EXPECT_THAT(error({"m", "--step-target=-1"}), HasSubstr("--step-target must be"));
}

TEST(EngineOptions, TakesALimitForLogprobsOrNone) {
  EXPECT_EQ(options({"m"}).max_logprobs, 20U);
  EXPECT_EQ(options({"m", "--max-logprobs", "5"}).max_logprobs, 5U);
  EXPECT_FALSE(options({"m", "--max-logprobs=-1"}).max_logprobs);
  EXPECT_FALSE(options({"m", "--max-logprobs", "-1"}).max_logprobs);
  EXPECT_THAT(error({"m", "--max-logprobs=-2"}), HasSubstr("got -2"));
}

TEST(EngineOptions, TakesASchedulingPolicy) {
  EXPECT_EQ(options({"m"}).service.scheduling, serve::Scheduling::kArrival);
  EXPECT_EQ(options({"m", "--scheduling-policy=priority"}).service.scheduling,
            serve::Scheduling::kPriority);
  EXPECT_THAT(error({"m", "--scheduling-policy", "lottery"}), HasSubstr("got 'lottery'"));
  EXPECT_TRUE(options({"m", "--enable-server-load-tracking"}).service.track_load);
}

TEST(EngineOptions, TakesTensorParallelSizeAsGroupsOfThreads) {
  const EngineOptions o =
      options({"m", "-tp", "2", "--threads=4"}, {{"VLLM_CPU_OMP_THREADS_BIND", "0,1|2,3"}});
  EXPECT_EQ(o.threads.groups, 2U);
  EXPECT_EQ(o.threads.threads, 4U);
  EXPECT_EQ(o.threads.bind, "0,1|2,3");
  EXPECT_EQ(
      options({"m", "--threads-bind=auto"}, {{"VLLM_CPU_OMP_THREADS_BIND", "nobind"}}).threads.bind,
      "auto");
  EXPECT_THAT(error({"m", "--tensor-parallel-size=0"}), HasSubstr("must be 1 to 64"));
  EXPECT_THAT(error({"m", "--pipeline-parallel-size=2"}), HasSubstr("without parallel workers"));
  EXPECT_EQ(options({"m", "-tp", "8", "--emulate-parallelism"}).threads.groups, 1U);
  EXPECT_EQ(options({"m", "-dp", "4", "--emulate-parallelism"}).service.data_parallel, 4U);
}

TEST(EngineOptions, BindsThePodsAddress) {
  const EngineOptions o = options(
      {"m", "--kv-transfer-config", R"({"kv_connector":"NixlConnector","kv_role":"kv_both"})"},
      {{"BATON_POD_IP", "127.77.0.9"}});
  EXPECT_EQ(o.service.listen.host, "127.77.0.9");
  EXPECT_EQ(o.transfer->host, "127.77.0.9");
  EXPECT_EQ(o.transfer->port, 5600);
  EXPECT_EQ(options({"m", "--host", "::1"}, {{"BATON_POD_IP", "127.77.0.9"}}).service.listen.host,
            "::1");
}

TEST(EngineOptions, TakesTheLastOfAFlagGivenTwice) {
  const EngineOptions o =
      options({"m", "--port", "8001", "--host=::1", "--port=8002", "--host", "127.0.0.1"});
  EXPECT_EQ(o.service.listen.port, 8002);
  EXPECT_EQ(o.service.listen.host, "127.0.0.1");
}

TEST(EngineOptions, ReadsTheTransferConfig) {
  const EngineOptions o = options(
      {"m", "--kv-transfer-config",
       R"({"kv_connector":"NixlConnector","kv_role":"kv_producer","kv_load_failure_policy":"fail","kv_buffer_device":"cpu","engine_id":"e",
           "kv_connector_extra_config":{"kv_lease_duration":120,"backends":["UCX"]}})"},
      {{"VLLM_NIXL_SIDE_CHANNEL_HOST", "localhost"}, {"VLLM_NIXL_SIDE_CHANNEL_PORT", "15600"}});
  EXPECT_EQ(o.transfer->host, "127.0.0.1");
  EXPECT_EQ(o.transfer->port, 15600);
  EXPECT_EQ(o.transfer->lease, std::chrono::seconds(120));
  EXPECT_EQ(o.transfer->on_failure, runtime::LoadFailure::kFail);
  EXPECT_EQ(o.transfer->engine_id, "e");
  EXPECT_EQ(o.transfer->announcements, runtime::Announcements::kOn);
  EXPECT_EQ(o.transfer->local_socket, runtime::LocalSocket::kOn);
  EXPECT_EQ(o.without_effect.size(), 2u);
  EXPECT_THAT(error({"m", "--kv-transfer-config",
                     R"({"kv_connector":"MooncakeConnector","kv_role":"kv_both"})"}),
              HasSubstr("'MooncakeConnector' is not supported"));
  EXPECT_THAT(error({"m", "--kv-transfer-config", R"({"kv_conector":"x"})"}),
              HasSubstr("did you mean 'kv_connector'"));
  EXPECT_THAT(error({"m", "--kv-transfer-config", "{"}),
              HasSubstr("--kv-transfer-config: not JSON"));
}

TEST(EngineOptions, RefusesWhatItDoesNotHonourOfTheTransferConfig) {
  const auto with = [](std::string_view member) {
    return error(
        {"m", "--kv-transfer-config",
         fmt::format(R"({{"kv_connector":"NixlConnector","kv_role":"kv_both",{}}})", member)});
  };
  const auto unsupported_with = [](std::string_view member) {
    const auto out = parse(
        {"m", "--kv-transfer-config",
         fmt::format(R"({{"kv_connector":"NixlConnector","kv_role":"kv_both",{}}})", member)});
    return !out && out.error().code() == Code::kUnsupported;
  };
  EXPECT_TRUE(unsupported_with(R"("kv_connector_module_path":"my.connectors")"));
  EXPECT_TRUE(unsupported_with(R"("ec_connector":"ECExampleConnector")"));
  EXPECT_THAT(with(R"("kv_connector_module_path":"my.connectors")"),
              HasSubstr("kv_connector_module_path is not supported"));
  EXPECT_EQ(with(R"("kv_connector_module_path":null)"), "accepted");
  EXPECT_EQ(with(R"("kv_load_failure_policy":["fail"])"),
            "--kv-transfer-config: kv_load_failure_policy must be recompute or fail, got "
            "[\"fail\"]");
  EXPECT_THAT(with(R"("kv_load_failure_policy":"")"), HasSubstr("got \"\""));
  EXPECT_EQ(with(R"("kv_load_failure_policy":"recompute")"), "accepted");
  EXPECT_THAT(with(R"("engine_id":7)"), HasSubstr("engine_id must be a string, got 7"));
}

TEST(EngineOptions, ReadsWhatIsOursOfTheTransferConfig) {
  const auto with = [](std::string_view extra) {
    return fmt::format(
        R"({{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_connector_extra_config":{}}})",
        extra);
  };
  const EngineOptions o =
      options({"m", "--kv-transfer-config",
               with(R"({"baton_announce":false,"baton_shared_memory":false})")});
  EXPECT_EQ(o.transfer->announcements, runtime::Announcements::kOff);
  EXPECT_EQ(o.transfer->local_socket, runtime::LocalSocket::kOff);
  EXPECT_THAT(error({"m", "--kv-transfer-config", with(R"({"baton_announce":"no"})")}),
              HasSubstr(R"(baton_announce must be true or false, got "no")"));
  EXPECT_THAT(error({"m", "--kv-transfer-config", with(R"({"baton_anounce":true})")}),
              HasSubstr("did you mean 'baton_announce'"));
}

TEST(EngineOptions, ReadsTheKvEventsConfig) {
  const EngineOptions o = options(
      {"m", "--kv-events-config",
       R"({"enable_kv_cache_events":true,"endpoint":"tcp://*:6000","replay_endpoint":"tcp://*:6001","buffer_steps":7,"hwm":8,"max_queue_size":9,"topic":"kv@p@m","event_format":"map"})",
       "--prefix-caching-hash-algo", "sha256_cbor"},
      {{"BATON_POD_IP", "127.77.0.9"}, {"PYTHONHASHSEED", "0"}});
  ASSERT_TRUE(o.kv_events);
  EXPECT_EQ(o.kv_events->publisher.any, "127.77.0.9");
  EXPECT_EQ(o.kv_events->publisher.endpoint, "tcp://*:6000");
  EXPECT_EQ(o.kv_events->publisher.replay_endpoint, "tcp://*:6001");
  EXPECT_EQ(o.kv_events->publisher.buffer_steps, 7u);
  EXPECT_EQ(o.kv_events->publisher.hwm, 8u);
  EXPECT_EQ(o.kv_events->publisher.max_queue_size, 9u);
  EXPECT_EQ(o.kv_events->publisher.topic, "kv@p@m");
  EXPECT_EQ(o.kv_events->shape, kv::EventShape::kMaps);
  EXPECT_EQ(o.kv_events->hash_form, runtime::HashForm::kCbor);
  EXPECT_EQ(o.kv_events->hash_seed, "0");
}

TEST(EngineOptions, RefusesKvEventsThatItCannotPublish) {
  EXPECT_FALSE(options({"m", "--kv-events-config", "{}"}).kv_events);
  EXPECT_FALSE(
      options({"m", "--kv-events-config", R"({"enable_kv_cache_events":true,"publisher":"null"})"})
          .kv_events);
  const auto refused = [](const std::string& json, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"m", "--kv-events-config", json};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return error(arguments);
  };
  EXPECT_THAT(refused(R"({"endpont":"x"})"), HasSubstr("did you mean 'endpoint'"));
  EXPECT_THAT(refused(R"({"endpoint":"ipc:///x"})"), HasSubstr("only tcp://"));
  EXPECT_THAT(refused(R"({"publisher":"kafka"})"), HasSubstr("only zmq or null"));
  EXPECT_THAT(refused(R"({"hwm":0})"), HasSubstr("hwm must be 1 to"));
  EXPECT_THAT(refused(R"({"event_format":"xml"})"), HasSubstr("array or map"));
  const std::string on = R"({"enable_kv_cache_events":true})";
  EXPECT_THAT(refused(on, {"--no-enable-prefix-caching"}), HasSubstr("nothing to tell"));
  EXPECT_THAT(refused(on, {"--prefix-caching-hash-algo", "xxhash"}),
              HasSubstr("sha256 or sha256_cbor"));
}

TEST(EngineOptions, ReadsItsCertificate) {
  const EngineOptions o =
      options({"m", "--ssl-certfile=/c", "--ssl-keyfile", "/k", "--enable-ssl-refresh"});
  EXPECT_EQ(o.certificate_file, "/c");
  EXPECT_EQ(o.key_file, "/k");
  EXPECT_TRUE(o.refresh_certificate);
  EXPECT_EQ(options({"m", "--ssl-certfile=/c"}).key_file, "/c");
  EXPECT_THAT(error({"m", "--ssl-keyfile=/k"}), HasSubstr("needs --ssl-certfile"));
  EXPECT_THAT(error({"m", "--ssl-cert-reqs=2"}), HasSubstr("clients are not asked"));
}

TEST(EngineOptions, TrustsEnginesWithItsOwnCertificateUnlessAnAuthorityIsGiven) {
  EXPECT_EQ(options({"m", "--ssl-certfile=/c"}).authority_file, "/c");
  EXPECT_EQ(options({"m", "--ssl-certfile=/c", "--ssl-ca-certs=/ca"}).authority_file, "/ca");
  EXPECT_THAT(error({"m", "--ssl-ca-certs=/ca"}), HasSubstr("needs --ssl-certfile"));
}

TEST(EngineOptions, SaysWhyAnAcceptedFlagMeansNothing) {
  const EngineOptions o = options({"m", "--enforce-eager", "--gpu-memory-utilization", "0.9",
                                   "--disable-access-log-for-endpoints=/health"});
  EXPECT_THAT(o.without_effect, ElementsAre("--enforce-eager: there are no graphs to capture",
                                            HasSubstr("--gpu-memory-utilization: there is no GPU"),
                                            HasSubstr("no access log is written")));
}

TEST(EngineOptions, RefusesParallelSizesUnlessEmulated) {
  options({"m", "--tensor-parallel-size=1", "-dp", "1"});
  EXPECT_THAT(error({"m", "-pp", "2"}),
              HasSubstr("--pipeline-parallel-size 2: this engine computes on one machine"));
  EXPECT_EQ(options({"m", "--emulate-parallelism", "--tensor-parallel-size", "4",
                     "--enable-expert-parallel"})
                .without_effect.size(),
            2u);
}

TEST(EngineOptions, MakesAWorkerWithoutServerWaitWhenParallelismIsEmulated) {
  EXPECT_FALSE(options({"m"}).headless);
  EXPECT_TRUE(options({"m", "--headless", "--emulate-parallelism", "--node-rank=1", "--nnodes=2"})
                  .headless);
  EXPECT_THAT(error({"m", "--headless"}),
              HasSubstr("with --emulate-parallelism it waits beside its leader"));
}

TEST(EngineOptions, RefusesWhatItCannotHonour) {
  EXPECT_THAT(error({"m", "--enable-lora"}), HasSubstr("--enable-lora is not supported: LoRA"));
  EXPECT_THAT(error({"m", "--quantization", "fp8"}), HasSubstr("--quantization must be int8"));
  EXPECT_THAT(error({"m", "--dtype", "int4"}), HasSubstr("int4"));
  EXPECT_EQ(error({"m", "--max-modle-len", "5"}),
            "no flag --max-modle-len (did you mean '--max-model-len'?)");
  EXPECT_THAT(error({"m", "--max-model-len", "many"}), HasSubstr("got 'many'"));
  EXPECT_THAT(error({"m", "--port", "70000"}), HasSubstr("70000"));
  EXPECT_THAT(error({}), HasSubstr("no model"));
}

}  // namespace
}  // namespace baton::cli
