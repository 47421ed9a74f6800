#include "net/http/message.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/core/random.hpp"

namespace baton::http {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

Fields fields_of(const Headers& headers) {
  Fields out;
  for (const auto& [name, value] : headers) out.emplace_back(name, value);
  return out;
}

TEST(Headers, KeepTheirOrderAndSpelling) {
  Headers headers{{"Host", "a"}, {"x-one", ""}};
  headers.add("X-ONE", "2");
  headers.set("host", "b");

  EXPECT_EQ(fields_of(headers), (Fields{{"Host", "b"}, {"x-one", ""}, {"X-ONE", "2"}}));
  EXPECT_EQ(headers.get("HOST"), "b");
  EXPECT_EQ(headers.get_all("X-One"), (std::vector<std::string_view>{"", "2"}));
  headers.set("x-one", "3");
  EXPECT_EQ(fields_of(headers), (Fields{{"Host", "b"}, {"x-one", "3"}}));
  EXPECT_EQ(headers.remove("X-one"), 1U);
  EXPECT_EQ(headers.remove("X-one"), 0U);
  EXPECT_EQ(headers.size(), 1U);
}

TEST(Headers, TakeViewsOfTheirOwnText) {
  Headers headers{{"a", "value"}};
  for (int i = 0; i < 100; ++i) {
    headers.add(headers.get("a").value(), headers.get("a").value());
    headers.set("b", headers.get("a").value());
  }

  EXPECT_EQ(headers.get("value"), "value");
  EXPECT_EQ(headers.get("b"), "value");
  EXPECT_EQ(headers.size(), 102U);
}

TEST(Headers, KeepViewsWhenFieldsAreRemovedOrTheWholeIsMoved) {
  Headers headers{{"a", "1"}, {"b", "2"}};
  const std::string_view kept = *headers.get("b");
  headers.remove("a");
  const Headers moved = std::move(headers);

  EXPECT_EQ(kept, "2");
  EXPECT_EQ(kept.data(), moved.get("b")->data());
}

TEST(Headers, AreCopiedWhole) {
  Headers headers{{"a", "1"}};
  Headers copy = headers;
  copy.set("a", "2");
  copy.add("b", "3");

  EXPECT_EQ(fields_of(headers), (Fields{{"a", "1"}}));
  EXPECT_EQ(fields_of(copy), (Fields{{"a", "2"}, {"b", "3"}}));
}

// Against a list of strings.
TEST(Headers, DoWhatAListWouldDo) {
  SeededRandom random(3);
  Headers headers;
  Fields list;
  const auto named = [](std::string_view name) {
    return [name](const auto& each) { return equal_names(each.first, name); };
  };
  for (int i = 0; i < 2000; ++i) {
    const std::string name(1, static_cast<char>((random.below(2) == 0 ? 'a' : 'A') +
                                                static_cast<char>(random.below(6))));
    const std::string value(random.below(300), 'v');
    if (random.below(4) == 0) {
      EXPECT_EQ(headers.remove(name), std::erase_if(list, named(name)));
    } else if (random.below(2) == 0) {
      headers.add(name, value);
      list.emplace_back(name, value);
    } else {
      headers.set(name, value);
      auto first = std::ranges::find_if(list, named(name));
      if (first == list.end()) {
        list.emplace_back(name, value);
      } else {
        first->second = value;
        list.erase(std::remove_if(first + 1, list.end(), named(name)), list.end());
      }
    }
    if (random.below(8) == 0) headers = Headers(headers);
    ASSERT_EQ(fields_of(headers), list) << i;
  }
}

}  // namespace
}  // namespace baton::http
