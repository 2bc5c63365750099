!> Cosine cutoff function and its derivative (Behler 2011; Artrith, Urban, Ceder 2017).
module tf_cutoff
   use tf_kinds, only : wp
   use tf_constants, only : pi
   implicit none
   private
   public :: cosine_cutoff, cosine_cutoff_values, cosine_cutoff_squared, apply_cutoff_squared, apply_cutoff_squared_values

   ! Taylor coefficients of sin(t)/t and cos(t) in t²; |t| <= pi/2 leaves an error below 1e-16.
   ! Written out, branch free, so that whole neighbour lists run in vector registers.
   real(wp), parameter :: s1 = -1.0_wp/6.0_wp, s2 = 1.0_wp/120.0_wp, s3 = -1.0_wp/5040.0_wp, &
      s4 = 1.0_wp/362880.0_wp, s5 = -1.0_wp/39916800.0_wp, s6 = 1.0_wp/6227020800.0_wp, &
      s7 = -1.0_wp/1307674368000.0_wp, s8 = 1.0_wp/355687428096000.0_wp, &
      s9 = -1.0_wp/121645100408832000.0_wp, s10 = 1.0_wp/51090942171709440000.0_wp
   real(wp), parameter :: c1 = -1.0_wp/2.0_wp, c2 = 1.0_wp/24.0_wp, c3 = -1.0_wp/720.0_wp, &
      c4 = 1.0_wp/40320.0_wp, c5 = -1.0_wp/3628800.0_wp, c6 = 1.0_wp/479001600.0_wp, &
      c7 = -1.0_wp/87178291200.0_wp, c8 = 1.0_wp/20922789888000.0_wp, &
      c9 = -1.0_wp/6402373705728000.0_wp, c10 = 1.0_wp/2432902008176640000.0_wp, &
      c11 = -1.0_wp/1124000727777607680000.0_wp

   ! cos(½π√t)/(1 - t) for 0 <= t <= 1: polynomial through the Chebyshev points, error 3e-20
   real(wp), parameter :: h0 = 1.0_wp, h1 = -2.33700550136169823228327e-01_wp, h2 = 1.99689577648780762374924e-02_wp, &
      h3 = -8.94522998473644434730287e-04_wp, h4 = 2.4737276358836730870422e-05_wp, &
      h5 = -4.64765991595297767624256e-07_wp, h6 = 6.32144090425835744863e-09_wp, &
      h7 = -6.51052915679768460683e-11_wp, h8 = 5.10846968542241000295e-13_wp

contains

   !> fc = ½(cos(π r/r_cut) + 1) for r < r_cut, zero beyond, and dfc/dr
   pure subroutine cosine_cutoff(n, r, r_cut, fc, dfc_dr)
      !> Number of distances
      integer, intent(in) :: n
      !> Distances, Å
      real(wp), intent(in) :: r(n)
      !> Cutoff radius, Å
      real(wp), intent(in) :: r_cut
      !> Cutoff function
      real(wp), intent(out) :: fc(n)
      !> Its derivative, 1/Å
      real(wp), intent(out) :: dfc_dr(n)
      integer :: i
      real(wp) :: t, t2, sine, cosine, inside

      !$omp simd private(t, t2, sine, cosine, inside)
      do i = 1, n
         ! cos(π x) = -sin(π (x - ½)): the argument stays within ±π/2
         inside = merge(1.0_wp, 0.0_wp, r(i) < r_cut)
         t = pi*(min(r(i)/r_cut, 1.0_wp) - 0.5_wp)
         t2 = t*t
         sine = t*(1.0_wp + t2*(s1 + t2*(s2 + t2*(s3 + t2*(s4 + t2*(s5 + t2*(s6 + t2*(s7 + &
            t2*(s8 + t2*(s9 + t2*s10))))))))))
         cosine = 1.0_wp + t2*(c1 + t2*(c2 + t2*(c3 + t2*(c4 + t2*(c5 + t2*(c6 + t2*(c7 + &
            t2*(c8 + t2*(c9 + t2*(c10 + t2*c11))))))))))
         fc(i) = inside*(0.5_wp - 0.5_wp*sine)
         dfc_dr(i) = -inside*(0.5_wp*pi/r_cut)*cosine
      end do
   end subroutine cosine_cutoff

   !> The same without the derivative
   pure subroutine cosine_cutoff_values(n, r, r_cut, fc)
      !> Distances
      integer, intent(in) :: n
      !> Distances, Å
      real(wp), intent(in) :: r(n)
      !> Cutoff radius, Å
      real(wp), intent(in) :: r_cut
      !> Cutoff function
      real(wp), intent(out) :: fc(n)
      integer :: i
      real(wp) :: t, t2, sine

      !$omp simd private(t, t2, sine)
      do i = 1, n
         t = pi*(min(r(i)/r_cut, 1.0_wp) - 0.5_wp)
         t2 = t*t
         sine = t*(1.0_wp + t2*(s1 + t2*(s2 + t2*(s3 + t2*(s4 + t2*(s5 + t2*(s6 + t2*(s7 + &
            t2*(s8 + t2*(s9 + t2*s10))))))))))
         fc(i) = merge(0.5_wp - 0.5_wp*sine, 0.0_wp, r(i) < r_cut)
      end do
   end subroutine cosine_cutoff_values

   !> fc = cos²(½π r/r_cut) from r², without a root, and (dfc/dr)/r; both zero for r >= r_cut, fc never negative
   pure subroutine cosine_cutoff_squared(n, r_squared, r_cut, fc, slope)
      !> Distances
      integer, intent(in) :: n
      !> Squared distances, Å²
      real(wp), intent(in) :: r_squared(n)
      !> Cutoff radius, Å
      real(wp), intent(in) :: r_cut
      !> Cutoff function
      real(wp), intent(out) :: fc(n)
      !> (dfc/dr)/r, 1/Å²
      real(wp), intent(out) :: slope(n)

      fc = 1.0_wp
      call apply_cutoff_squared(n, r_squared, r_cut, fc, slope)
   end subroutine cosine_cutoff_squared

   !> Multiply weights by fc; slope = their (dfc/dr)/r
   pure subroutine apply_cutoff_squared(n, r_squared, r_cut, weight, slope)
      !> As for `cosine_cutoff_squared`
      integer, intent(in) :: n
      real(wp), intent(in) :: r_squared(n), r_cut
      real(wp), intent(inout) :: weight(n)
      real(wp), intent(out) :: slope(n)
      real(wp) :: t, rest, h, dh, root, factor, per_square
      integer :: i

      per_square = 1.0_wp/r_cut**2
      factor = 4.0_wp*per_square
      !$omp simd private(t, rest, h, dh, root)
      do i = 1, n
         t = min(r_squared(i)*per_square, 1.0_wp)
         rest = 1.0_wp - t
         h = h0 + t*(h1 + t*(h2 + t*(h3 + t*(h4 + t*(h5 + t*(h6 + t*(h7 + t*h8)))))))
         dh = h1 + t*(2.0_wp*h2 + t*(3.0_wp*h3 + t*(4.0_wp*h4 + t*(5.0_wp*h5 + t*(6.0_wp*h6 + t*(7.0_wp*h7 + &
            t*(8.0_wp*h8)))))))
         root = rest*h
         slope(i) = (factor*weight(i))*root*(rest*dh - h)
         weight(i) = weight(i)*(root*root)
      end do
   end subroutine apply_cutoff_squared

   !> The same without the derivative
   pure subroutine apply_cutoff_squared_values(n, r_squared, r_cut, weight)
      !> As for `cosine_cutoff_squared`
      integer, intent(in) :: n
      real(wp), intent(in) :: r_squared(n), r_cut
      real(wp), intent(inout) :: weight(n)
      real(wp) :: t, root, per_square
      integer :: i

      per_square = 1.0_wp/r_cut**2
      !$omp simd private(t, root)
      do i = 1, n
         t = min(r_squared(i)*per_square, 1.0_wp)
         root = (1.0_wp - t)*(h0 + t*(h1 + t*(h2 + t*(h3 + t*(h4 + t*(h5 + t*(h6 + t*(h7 + t*h8))))))))
         weight(i) = weight(i)*(root*root)
      end do
   end subroutine apply_cutoff_squared_values

end module tf_cutoff
