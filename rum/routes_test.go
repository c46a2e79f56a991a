package rum

import (
	"fmt"
	"strings"
	"testing"
)

func TestAPathHasThePageOfTheFirstRouteThatFits(t *testing.T) {
	routes, err := ParseRoutes([]string{"/=root", "/:locale/:app/=home", "/:locale/:app/addon/:addon/=addon", "/:locale/:app/user/:user/=browse", "/:locale/:app/tag/:tag/=browse", "/docs/*path=docs", "/shop/cart=cart"})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/": "root", "/de/firefox/": "home", "/de/firefox": "", "/de/firefox/addon/x/": "addon", "/de/firefox/addon//": "", "/de/firefox/addon/x/y/": "",
		"/de/firefox/tag/x/": "browse", "/docs/": "docs", "/docs/a/b": "docs", "/docs": "", "/shop/cart": "cart", "": "", "shop/cart": "", "//": "", "///": "",
	} {
		if got := routes.PageOf(path); got != want {
			t.Errorf("%q is %q, want %q", path, got, want)
		}
	}
	if got := strings.Join(routes.Names(), " "); got != "root home addon browse docs cart" {
		t.Errorf("the names are %s", got)
	}
}

func TestRoutesThatCannotBeAreAllTold(t *testing.T) {
	many := make([]string, 513)
	for i := range many {
		many[i] = fmt.Sprintf("/%d=p", i)
	}
	for name, list := range map[string][]string{
		"pattern begins with /": {"cart=cart"}, "give a pattern": {"/cart"}, "nothing comes behind": {"/*a/b=x"}, "is there twice": {"/a=a", "/a=b"},
		`page "a.b"`: {"/a=a.b"}, `page "overflow"`: {"/a=overflow"}, `page ""`: {"/a="}, "513 routes": many,
	} {
		if _, err := ParseRoutes(list); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%.80q: %v", list, err)
		}
	}
	if _, err := ParseRoutes([]string{"a=a", "/b"}); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("of two faults it says %v", err)
	}
}
