#include "control/node/volumes.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/core/testing/temporary_folder.hpp"
#include "base/text/base64.hpp"

namespace baton::node {
namespace {

namespace fs = std::filesystem;

kube::Object json(std::string_view text) { return *text::json::parse(text); }

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Volumes : public ::testing::Test {
 protected:
  Volumes() {
    config_.state_dir = base_.string();
    folders_ = *volume_folders(pod_, folders_of(config_, pod_), config_);
  }

  void hold(const std::string& certificate, const std::string& key) {
    secret_["data"]["tls.crt"] = text::base64(certificate);
    secret_["data"]["tls.key"] = text::base64(key);
  }
  ReadObject read() {
    return [this](std::string_view, const std::string&) -> Result<kube::Object> { return secret_; };
  }
  fs::path in(std::string_view file) const { return fs::path(folders_.at("c")) / file; }

  TemporaryFolder folder_;
  const fs::path& base_ = folder_.path();
  Config config_;
  kube::Object pod_ = json(
      R"({"metadata":{"namespace":"ns","name":"p"},
          "spec":{"volumes":[{"name":"c","secret":{"secretName":"s"}}]}})");
  kube::Object secret_ = json(R"({"kind":"Secret"})");
  std::map<std::string, std::string> folders_;
};

TEST_F(Volumes, OfASecretAreRenewedAllAtOnceAndOnlyWhenItHasChanged) {
  hold("certificate 1", "key 1");
  ASSERT_TRUE(make_volumes(pod_, folders_, config_, {read(), nullptr}));
  EXPECT_EQ(text_of(in("tls.crt")), "certificate 1");
  const auto first = fs::read_symlink(in("..data"));

  ASSERT_TRUE(renew_volumes(pod_, folders_, read()));
  EXPECT_EQ(fs::read_symlink(in("..data")), first);

  for (const auto* round : {"2", "3", "4"}) {
    const auto before = fs::read_symlink(in("..data"));
    hold(std::string("certificate ") + round, std::string("key ") + round);
    ASSERT_TRUE(renew_volumes(pod_, folders_, read()));
    EXPECT_NE(fs::read_symlink(in("..data")), before);  // one rename changes both files
    EXPECT_EQ(text_of(in("tls.crt")), std::string("certificate ") + round);
    EXPECT_EQ(text_of(in("tls.key")), std::string("key ") + round);
  }
}

TEST_F(Volumes, AreRenewedThoughOneBeforeThemCannotBe) {
  const auto pod = json(
      R"({"metadata":{"namespace":"ns","name":"p"},"spec":{"volumes":[
          {"name":"settings","configMap":{"name":"m"}},
          {"name":"c","secret":{"secretName":"s"}}]}})");
  const auto folders = *volume_folders(pod, folders_of(config_, pod), config_);
  Result<kube::Object> settings = json(R"({"kind":"ConfigMap","data":{"a":"1"}})");
  const ReadObject read = [&](std::string_view kind, const std::string&) -> Result<kube::Object> {
    if (kind == "ConfigMap") return settings;
    return secret_;
  };
  hold("certificate 1", "key 1");
  ASSERT_TRUE(make_volumes(pod, folders, config_, {read, nullptr}));

  settings = not_found("gone");
  hold("certificate 2", "key 2");
  const auto renewed = renew_volumes(pod, folders, read);
  ASSERT_FALSE(renewed);
  EXPECT_EQ(renewed.error().message(), "volume settings: gone");
  EXPECT_EQ(text_of(in("tls.crt")), "certificate 2");

  settings = unavailable("down");
  hold("certificate 3", "key 3");
  EXPECT_FALSE(renew_volumes(pod, folders, read));
  EXPECT_EQ(text_of(in("tls.crt")), "certificate 2") << "a silent server is asked once";
}

TEST_F(Volumes, WriteNoFileOutsideTheirFolder) {
  const std::string outside = base_ / "outside";
  for (const std::string& key : {outside, std::string("../../../../outside"), std::string("..")}) {
    secret_ = json(R"({"kind":"Secret"})");
    secret_["stringData"][key] = "text";
    const auto made = make_volumes(pod_, folders_, config_, {read(), nullptr});
    ASSERT_FALSE(made) << key;
    EXPECT_EQ(made.error().code(), Code::kInvalid);
    EXPECT_NE(made.error().message().find("key '" + key + "'"), std::string::npos);
    EXPECT_FALSE(fs::exists(outside)) << key;
  }
  const auto pod = json(R"({"metadata":{"namespace":"ns","name":"p"},
                            "spec":{"volumes":[{"name":"../../x","emptyDir":{}}]}})");
  EXPECT_EQ(volume_folders(pod, folders_of(config_, pod), config_).error().code(), Code::kInvalid);
}

TEST_F(Volumes, RefuseAFileThatIsAFolderOrHasANameOfTheirOwn) {
  for (const std::string path : {"", ".", "./", "a/", "/a", "../a", "a/../b", "..data", "..0/a"}) {
    auto pod = json(
        R"({"metadata":{"namespace":"ns","name":"p"},"spec":{"volumes":[{"name":"c","downwardAPI":
            {"items":[{"fieldRef":{"fieldPath":"metadata.name"}}]}}]}})");
    auto& volume = (*pod["spec"]["volumes"].if_array())[0];
    (*volume["downwardAPI"]["items"].if_array())[0]["path"] = path;
    const auto made = make_volumes(pod, folders_, config_, {read(), nullptr});
    ASSERT_FALSE(made) << path;
    EXPECT_EQ(made.error().code(), Code::kInvalid) << path;
  }
}

TEST_F(Volumes, OfSeveralSourcesHaveTheFilesOfAll) {
  const auto pod = json(
      R"({"metadata":{"namespace":"ns","name":"p"},"spec":{"volumes":[{"name":"c","projected":
          {"sources":[{"configMap":{"name":"first"}},
                      {"configMap":{"name":"second","items":[{"key":"b","path":"sub/b"}]}},
                      {"configMap":{"name":"gone","optional":true}},
                      {"downwardAPI":{"items":[{"path":"./sub//name",
                                                "fieldRef":{"fieldPath":"metadata.name"}}]}},
                      {"serviceAccountToken":{"path":"./token"}},
                      {"configMap":{"name":"third"}}]}}]}})");
  const ReadObject maps = [](std::string_view, const std::string& name) -> Result<kube::Object> {
    if (name == "first") return json(R"({"kind":"ConfigMap","data":{"a":"1","c":"1"}})");
    if (name == "second") return json(R"({"kind":"ConfigMap","data":{"a":"2","b":"2"}})");
    if (name == "third") return json(R"({"kind":"ConfigMap","data":{"c":"3"}})");
    return not_found(name);
  };
  const RequestToken token = [](std::string_view, std::int64_t) {
    return Result<std::string>("t");
  };
  ASSERT_TRUE(make_volumes(pod, folders_, config_, {maps, token}));
  EXPECT_EQ(text_of(in("a")), "1");
  EXPECT_EQ(text_of(in("sub/b")), "2");
  EXPECT_EQ(text_of(in("sub/name")), "p");
  EXPECT_EQ(text_of(in("token")), "t");
  EXPECT_EQ(text_of(in("c")), "3") << "the later source's";
}

TEST_F(Volumes, OfAnOptionalObjectAreAnErrorWhenItCannotBeRead) {
  const auto pod = json(
      R"({"metadata":{"namespace":"ns","name":"p"},"spec":{"volumes":[{"name":"c","projected":
          {"sources":[{"configMap":{"name":"m","optional":true}}]}}]}})");
  const auto made = [&](const Error& error) {
    const ReadObject fails = [&](std::string_view, const std::string&) -> Result<kube::Object> {
      return error;
    };
    return make_volumes(pod, folders_, config_, {fails, nullptr});
  };
  EXPECT_EQ(made(unavailable("down")).error().code(), Code::kUnavailable);
  EXPECT_TRUE(made(not_found("gone")));
}

TEST_F(Volumes, AreAnErrorWhereAPathCannotBeLookedAt) {
  const auto folders = folders_of(config_, pod_);
  const std::string too_long(300, 'a');
  EXPECT_FALSE(make_sub_paths({{"/x", folders.pod + "/volumes/c/" + too_long}}, folders));

  const auto pod = json(
      R"({"metadata":{"namespace":"ns","name":"p"},"spec":{"volumes":[{"name":"c",
          "persistentVolumeClaim":{"claimName":"loop"}}]}})");
  const auto claim = *volume_folders(pod, folders, config_);
  EXPECT_EQ(make_volumes(pod, claim, config_, {read(), nullptr}).error().code(), Code::kNotFound);
  fs::create_directories(fs::path(claim.at("c")).parent_path());
  fs::create_symlink("loop", claim.at("c"));
  EXPECT_EQ(make_volumes(pod, claim, config_, {read(), nullptr}).error().code(),
            Code::kUnavailable);
}

TEST_F(Volumes, AreAnErrorWhereAFolderLiesInTheWayOfAFile) {
  hold("certificate", "key");
  ASSERT_TRUE(make_sub_paths({{"/x", in("tls.crt").string()}}, folders_of(config_, pod_)));
  EXPECT_FALSE(make_volumes(pod_, folders_, config_, {read(), nullptr}));
  EXPECT_FALSE(renew_volumes(pod_, folders_, read()));
}

TEST_F(Volumes, AreRenewedOnlyForConfigMapsAndSecrets) {
  EXPECT_TRUE(has_renewed_volumes(pod_));
  EXPECT_FALSE(has_renewed_volumes(json(R"({"spec":{"volumes":[{"name":"e","emptyDir":{}}]}})")));
}

}  // namespace
}  // namespace baton::node
